import { bodyTypesOf, createTurns, pathParameters, type Route } from "../kit/index.ts";
import { describeParameter } from "./parameters.ts";
import { toOpenApi } from "./schema-3-0.ts";
import { TAGS } from "./tags.ts";

type Json = Readonly<Record<string, unknown>>;

const REFUSAL = {
  type: "object",
  description: "Why a request was refused.",
  properties: {
    code: { type: "string", description: "One of `GET /error_codes`.", example: "BAD_REQUEST" },
    message: { type: "string", description: "For people.", example: "Client ID not found" },
    reason: { type: "string", description: "The same text.", example: "Client ID not found" },
  },
  required: ["code", "message"],
};

const refusal = (description: string) => ({
  description,
  content: { "application/json": { schema: { $ref: "#/components/schemas/Refusal" } } },
});

/** What is not about one operation. */
function frame(routes: readonly Route[], version: string): Json {
  const used = new Set(routes.map(({ tag }) => tag));
  return {
    openapi: "3.0.0",
    info: {
      title: "Tidegate",
      version,
      description:
        "The API of EMQX 5.8, as far as an MQTT edge gateway has it. Tools log in with an API key as Basic user name and password, people with `POST /login` and the token it answers.",
      license: { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" },
    },
    servers: [{ url: "/api/v5" }],
    security: [{ basicAuth: [] }, { bearerAuth: [] }],
    tags: [...used].sort().map((name) => ({ name, description: TAGS.get(name) ?? name })),
    components: {
      securitySchemes: {
        basicAuth: { type: "http", scheme: "basic", description: "API key and its secret." },
        bearerAuth: { type: "http", scheme: "bearer", description: "Token of `POST /login`." },
      },
      schemas: { Refusal: REFUSAL },
    },
  };
}

/**
 * The OpenAPI 3.0 document as JSON text, from nothing but the routes. Made in slices: it has hundreds
 * of operations, and MQTT goes on.
 */
export async function openApiText(all: readonly Route[], version: string): Promise<string> {
  const routes = all.filter(({ isAlias }) => isAlias !== true);
  const byPath = new Map<string, string[]>();
  const turns = createTurns(1);
  for (const route of routes) {
    const operation = JSON.stringify(operationOf(route));
    const operations = byPath.get(route.path) ?? [];
    operations.push(`${JSON.stringify(route.method.toLowerCase())}:${operation}`);
    byPath.set(route.path, operations);
    if (turns.isDue()) await turns.take();
  }
  const paths = [...byPath].map(([path, items]) => `${JSON.stringify(path)}:{${items.join(",")}}`);
  return `${JSON.stringify(frame(routes, version)).slice(0, -1)},"paths":{${paths.join(",")}}}`;
}

function operationOf(route: Route): Json {
  const { access, schema, path } = route;
  const rule = typeof access === "function" ? access() : (access ?? "any");
  const parameters = [
    ...parametersOf("path", path, pathParameters(route)),
    ...parametersOf("query", path, schema.query),
  ];
  const body = requestBodyOf(route);
  const refusals: Record<string, Json> = {
    default: refusal("Refused; the code says why."),
    ...(parameters.length > 0 || body !== null
      ? { 400: refusal("A parameter or the body is not valid.") }
      : {}),
    ...(rule === "public" ? {} : { 401: refusal("Not logged in."), 403: refusal("Not allowed.") }),
    ...(path.includes("{") ? { 404: refusal("There is no such thing.") } : {}),
    ...(body === null ? {} : { 415: refusal("The content type is another one.") }),
  };
  const answers = Object.entries(schema.answers).map(([status, answer]) => [
    status,
    answerOf(Number(status), answer, route.produces),
  ]);
  return {
    tags: [route.tag],
    operationId: operationId(route),
    summary: route.summary,
    ...(route.description === undefined ? {} : { description: route.description }),
    ...(rule === "public" ? { security: [] } : {}),
    ...(rule === "bearer" || rule === "own" ? { security: [{ bearerAuth: [] }] } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === null ? {} : { requestBody: body }),
    responses: { ...refusals, ...Object.fromEntries(answers) },
  };
}

function parametersOf(where: "path" | "query", path: string, schema: unknown): Json[] {
  const { properties = {}, required = [] } = (schema ?? {}) as {
    readonly properties?: Readonly<Record<string, unknown>>;
    readonly required?: readonly string[];
  };
  // Routes that share a schema may have more in it than their path names.
  const isUsed = (name: string) => where === "query" || path.includes(`{${name}}`);
  const used = Object.entries(properties).filter(([name]) => isUsed(name));
  return used.map(([name, property]) => {
    const own = toOpenApi(property);
    const known = where === "path" && !("enum" in own) ? describeParameter(path, name) : {};
    const { description, ...converted }: Json = { ...known, ...own };
    return {
      name,
      in: where,
      ...(where === "path" || required.includes(name) ? { required: true } : {}),
      ...(description === undefined ? {} : { description }),
      schema: converted,
    };
  });
}

function requestBodyOf(route: Route): Json | null {
  const types = bodyTypesOf(route);
  if (types.length === 0) return null;
  const content = types.map((type) => [type, { schema: bodySchema(route, type) }]);
  return { required: true, content: Object.fromEntries(content) };
}

function bodySchema({ schema }: Route, type: string): Json {
  if (type === "application/json") return toOpenApi(schema.body);
  if (type !== "multipart/form-data") return { type: "string" };
  return { type: "object", properties: { filename: { type: "string", format: "binary" } } };
}

function answerOf(status: number, schema: unknown, produces = "application/json"): Json {
  const description = status < 300 ? "Done." : "Refused.";
  if (schema === null) return { description };
  const type = status < 400 || produces === "text/plain" ? produces : "application/json";
  return { description, content: { [type]: { schema: toOpenApi(schema) } } };
}

/** `GET /clients/{clientid}/subscriptions` → `getClientsByClientidSubscriptions`. */
function operationId({ method, path }: Route): string {
  const words = path.split("/").filter((step) => step !== "");
  const names = words.map((step) => {
    const name = step
      .replace(/[{}]/g, "")
      .replace(/[_-](\w)/g, (_, letter: string) => letter.toUpperCase());
    return `${step.startsWith("{") ? "By" : ""}${name.charAt(0).toUpperCase()}${name.slice(1)}`;
  });
  return method.toLowerCase() + names.join("");
}
