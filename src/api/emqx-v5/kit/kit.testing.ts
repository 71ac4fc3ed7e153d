import {
  type FastifyInstance,
  type FastifyRequest,
  fastify,
  type LightMyRequestResponse,
} from "fastify";
import { expect } from "vitest";
import { createLog } from "../../../log/index.ts";
import { appOptions } from "../../app-options.ts";
import { ApiError, type Method, type Role, type Route, serveRoutes } from "./index.ts";

export interface Call {
  /** Who calls; null sends no login. An administrator unless stated. */
  readonly as?: Role | null;
  /** Sent as JSON, unless it is text or bytes. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Reply {
  readonly status: number;
  /** Parsed when it is JSON, else the text; null for an empty one. */
  readonly body: unknown;
  readonly headers: LightMyRequestResponse["headers"];
}

export type TestRoutes = Awaited<ReturnType<typeof startApi>>;

/**
 * Routes served as the real application serves them, with a login that believes what it is told. Every
 * successful answer is checked against the route's schema.
 */
export async function startApi(routes: readonly Route[]) {
  const lines: string[] = [];
  const log = createLog({ level: "debug" }, { write: (line) => void lines.push(line) });
  const app = fastify(appOptions());
  let last: FastifyRequest | null = null;
  app.addHook("onRequest", async (request) => {
    last = request;
  });
  app.addHttpMethod("GET", { hasBody: true, overrideExisting: true });
  const scope = async (inner: FastifyInstance) =>
    serveRoutes(inner, routes, {
      log,
      checkAccess: async ({ authorization, access }) => {
        const [, role] = (authorization ?? "").split(" ");
        if (role === "administrator" || role === "viewer" || role === "publisher") {
          return { kind: "user", name: "admin", role };
        }
        if (access === "public") return { kind: "public", name: "", role: "viewer" };
        throw new ApiError(401, "AUTHORIZATION_HEADER_ERROR", "log in");
      },
    });
  await app.register(scope, { prefix: "/api/v5" });
  await app.ready();

  return {
    app,
    lines,
    /** `path` is below `/api/v5`, with its query. */
    async call(method: Method, path: string, { as, body, headers }: Call = {}): Promise<Reply> {
      const isRaw = typeof body === "string" || body instanceof Uint8Array;
      const type = isRaw ? {} : { "content-type": "application/json" };
      const reply = await app.inject({
        method,
        url: `/api/v5${path}`,
        headers: {
          ...(as === null ? {} : { authorization: `Test ${as ?? "administrator"}` }),
          ...(body === undefined ? {} : type),
          ...headers,
        },
        ...(body === undefined
          ? {}
          : { payload: isRaw ? Buffer.from(body) : JSON.stringify(body) }),
      });
      const answer = read(reply);
      if (last !== null) checkAnswer(routes, last, answer);
      return answer;
    },
    close: () => app.close(),
  };
}

function read(reply: LightMyRequestResponse): Reply {
  const { statusCode: status, headers, body } = reply;
  const isJson = String(headers["content-type"] ?? "").startsWith("application/json");
  return { status, headers, body: body === "" ? null : isJson ? JSON.parse(body) : body };
}

/** Fails the test when an answer is not what the route's schema says. */
function checkAnswer(routes: readonly Route[], request: FastifyRequest, reply: Reply): void {
  const path = request.routeOptions.url?.replace("/api/v5", "").replaceAll(/:(\w+)/g, "{$1}");
  const route = routes.find((one) => one.method === request.method && one.path === path);
  if (route === undefined || reply.status >= 400) return;
  const schema = route.schema.answers[reply.status];
  const what = `${route.method} ${route.path} → ${reply.status}`;
  expect(schema, `${what}: no such answer in the schema`).not.toBeUndefined();
  if (schema === null) {
    expect(reply.body, `${what}: a body`).toBeNull();
    return;
  }
  const validate = request.compileValidationSchema(schema as Record<string, unknown>);
  expect(validate(reply.body) ? null : validate.errors, what).toBeNull();
}
