import { API_VERSION, ApiError, type JSONSchema, ok, type Route, route } from "./kit/index.ts";

/** Which operations each document is about, by the start of their paths. */
const PREFIXES: ReadonlyMap<string, { readonly title: string; readonly prefix: RegExp }> = new Map([
  ["hotconf", { title: "Hot Conf Schema", prefix: /^\/configs/ }],
  ["actions", { title: "Actions Schema", prefix: /^\/(actions|sources)/ }],
  ["connectors", { title: "Connectors Schema", prefix: /^\/connectors/ }],
]);

const NAME = {
  type: "string",
  enum: ["hotconf", "actions", "connectors"],
  description: "What the document is about.",
  example: "hotconf",
} as const;

const DOCUMENT = {
  type: "object",
  properties: {
    info: { type: "object", description: "Title and version." },
    paths: { type: "object", description: "Path, then method, then the schema of the answer." },
    components: { type: "object", description: "Schemas the others refer to." },
  },
  required: ["info", "paths", "components"],
} as const;

/** `/schemas/{name}`: dashboards make forms of it. The schemas are those of the other routes. */
export function schemaRoutes(routes: readonly Route[]): readonly Route[] {
  return [
    route({
      method: "GET",
      path: "/schemas/{name}",
      tag: "Schemas",
      summary: "Schemas of configuration objects",
      section: "5.14",
      priority: "P3",
      access: "public",
      test: "src/api/emqx-v5/misc.test.ts",
      schema: {
        params: { type: "object", properties: { name: { ...NAME, enum: [...NAME.enum] } } },
        answers: { 200: DOCUMENT },
      },
      handle({ params }) {
        const document = PREFIXES.get(String(params.name));
        if (document === undefined) throw new ApiError(404, "NOT_FOUND", "No such schema");
        const { title, prefix } = document;
        const paths: Record<string, Record<string, JSONSchema>> = {};
        for (const { path, method, schema } of routes.filter((one) => prefix.test(one.path))) {
          const answer = schema.answers[200] ?? schema.answers[201];
          if (answer) paths[path] = { ...paths[path], [method.toLowerCase()]: answer };
        }
        return ok({ info: { title, version: API_VERSION }, paths, components: { schemas: {} } });
      },
    }),
  ];
}
