import multipart from "@fastify/multipart";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Log } from "../../../log/index.ts";
import { drain, drainRefusedBodies, isTooLarge } from "../../raw-body.ts";
import { SLOW_BODY } from "../../sockets.ts";
import { type Answer, ApiError } from "./answer.ts";
import { bodyKind, MAX_BODY_BYTES, openUpload, readBody, readFile } from "./body.ts";
import { apiErrorOf } from "./errors.ts";
import { methodsByPath, sendNotFound } from "./not-found.ts";
import { readParameters } from "./query.ts";
import type { AccessRule, Caller, JSONSchema, Method, Route } from "./route.ts";
import { sendAnswer, sendError } from "./send.ts";
import { violationError } from "./validation.ts";

/** Finds out who calls. @throws ApiError 401, 403 (reference §2.2) */
export type CheckAccess = (request: {
  readonly authorization: string | undefined;
  readonly address: string;
  readonly method: Method;
  /** The route's path. */
  readonly path: string;
  readonly access: AccessRule;
}) => Promise<Caller>;

export interface ServeDeps {
  readonly log: Log;
  readonly checkAccess: CheckAccess;
}

const PREFIX = "/api/v5";

/**
 * Serves routes in a fastify scope with the prefix `/api/v5`, in the order of reference §1.1: route
 * (404, 405), login (401, 403), body (415, 413, 400), parameters and body against the schemas (400),
 * handler. Schemas are compiled when they are first used: a start does not wait for 200 of them.
 */
export async function serveRoutes(
  app: FastifyInstance,
  routes: readonly Route[],
  deps: ServeDeps,
): Promise<void> {
  const methodsOf = methodsByPath(routes);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_, body, done) => done(null, body));
  // Left to the handler.
  app.addContentTypeParser("application/octet-stream", (_, __, done) => done(null));
  await app.register(multipart);
  drainRefusedBodies(app);

  app.setNotFoundHandler((request, reply) => notFound(request, reply));
  app.setErrorHandler((err, request, reply) => {
    // What is wrong with the body of a request to nowhere does not matter.
    if (request.is404) return notFound(request, reply);
    return sendError(reply, refusalOf(err, request));
  });

  function notFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const path = request.url.slice(PREFIX.length).split("?", 1)[0] ?? "";
    const methods = methodsOf(path);
    if (methods.length === 0) return sendNotFound(reply, request.headers.accept);
    return reply.code(405).header("allow", methods.join(", ")).send();
  }

  function refusalOf(err: unknown, request: FastifyRequest): ApiError {
    const status = statusOf(err);
    if (isTooLarge(err) || status === 413) {
      return new ApiError(413, "BAD_REQUEST", "the request body is too large");
    }
    // fastify's and the multipart reader's own refusals of a body.
    if (status !== null && status < 500) return new ApiError(400, "BAD_REQUEST", "unreadable body");
    const refusal = apiErrorOf(err);
    if (refusal.status >= 500) {
      deps.log.error({ err, path: request.routeOptions.url }, "a request of the V5 API failed");
    }
    return refusal;
  }

  for (const route of routes) addRoute(app, route, deps);
}

function addRoute(app: FastifyInstance, route: Route, deps: ServeDeps): void {
  const { method, path, maxBodyBytes = MAX_BODY_BYTES } = route;
  const { query, body } = route.schema;
  const params = pathParameters(route);
  const found = new WeakMap<
    FastifyRequest,
    { caller: Caller; kind: ReturnType<typeof bodyKind> }
  >();

  app.route({
    method,
    url: path.replaceAll(/\{(\w+)\}/g, ":$1"),
    // A file is read piece by piece; what is parsed at once keeps to the usual limit beside it.
    bodyLimit: route.consumes?.includes("file")
      ? Math.min(maxBodyBytes, MAX_BODY_BYTES)
      : maxBodyBytes,
    async onRequest(request) {
      const { authorization } = request.headers;
      const access = accessOf(route);
      const login = { authorization, address: request.ip, method, path, access };
      const caller = await deps.checkAccess(login);
      const kind = bodyKind(route, request);
      found.set(request, { caller, kind });
      // fastify refuses malformed types whatever parsers there are; the kind is known by now.
      if (kind === "stream") request.raw.headers["content-type"] = "application/octet-stream";
      else if (kind !== "file") delete request.raw.headers["content-type"];
    },
    async handler(request, reply) {
      const login = found.get(request);
      if (login === undefined) throw new Error("a request came past its login");
      const { caller, kind } = login;
      const isFile = kind === "file" || kind === "stream";
      const isStreamed = isFile && route.consumes?.includes("stream") === true;
      const parsed = body === undefined || isFile ? undefined : readBody(kind, request.body);
      const read = { params: readParameters(params, request.params), query: {} };
      check(request, params, read.params, "params");
      if (query !== undefined) {
        read.query = readParameters(query, request.query);
        check(request, query, read.query, "querystring");
      }
      if (body !== undefined && !isFile) check(request, body, parsed, "body");
      if (isStreamed) reply.raw.emit(SLOW_BODY);
      let answer: Answer;
      try {
        answer = await route.handle({
          ...read,
          body: parsed,
          file: isFile && !isStreamed ? await readFile(request, maxBodyBytes) : null,
          upload: isStreamed ? await openUpload(kind, request) : null,
          caller,
          address: request.ip,
          header: (name) => headerOf(request, name),
        });
      } catch (err) {
        if (isStreamed) {
          // Nobody reads the rest of it.
          reply.header("connection", "close");
          await drain(request.raw);
        }
        throw err;
      }
      return sendAnswer(reply, answer);
    },
  });
}

function check(
  request: FastifyRequest,
  schema: unknown,
  value: unknown,
  part: "params" | "querystring" | "body",
): void {
  if (typeof schema !== "object" || schema === null) return;
  // fastify keeps what it has compiled by route and schema object.
  const validate = request.compileValidationSchema(schema as Record<string, unknown>, part);
  if (!validate(value)) throw violationError(validate.errors);
}

/** The object schema of a route's path parameters. */
export function pathParameters({ path, schema }: Route): JSONSchema {
  return schema.params ?? textParams(path);
}

/** Each parameter of a path as text. */
function textParams(path: string) {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? "");
  const properties = Object.fromEntries(names.map((name) => [name, { type: "string" }] as const));
  return { type: "object", properties, required: names } as const;
}

/** The rule that holds now. */
function accessOf({ access = "any" }: Route): AccessRule {
  return typeof access === "function" ? access() : access;
}

function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name.toLowerCase()];
  return Array.isArray(value) ? value.join(", ") : value;
}

function statusOf(err: unknown): number | null {
  if (typeof err !== "object" || err === null || !("statusCode" in err)) return null;
  return typeof err.statusCode === "number" ? err.statusCode : null;
}
