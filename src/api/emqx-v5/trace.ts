import { isIP } from "node:net";
import { isGatewayError } from "../../errors/index.ts";
import { topicFilter } from "../../mqtt/index.ts";
import type { Services, TraceRequest, TraceState } from "../../services/index.ts";
import {
  ApiError,
  file,
  noContent,
  ok,
  parseTime,
  type Route,
  route,
  timestampS,
} from "./kit/index.ts";
import { NODE, requireNode } from "./node-name.ts";
import { CREATE, MEMBERS, TRACE } from "./trace-schema.ts";
import { zipOf } from "./trace-zip.ts";

/** What the trace operations are made of. */
export type TraceServices = Pick<Services, "node" | "traces"> & {
  readonly statistics: Pick<Services["statistics"], "node">;
};

const TEST = "src/api/emqx-v5/trace.test.ts";
const DEFAULT_LENGTH_MS = 600_000;
/** Bytes read at once, whatever is asked for: a piece is held in memory. */
const MAX_PIECE_BYTES = 1_048_576;

const NODE_QUERY = { type: "object", properties: { node: NODE } } as const;

/** `/trace` (reference §5.9). */
export function traceRoutes({ node, traces, statistics }: TraceServices): readonly Route[] {
  const shared = { tag: "Trace", section: "5.9", priority: "P3", test: TEST } as const;

  function mustKnow(name: string): TraceState {
    const trace = traces.find(name);
    if (trace === null) throw notFound(name);
    return trace;
  }

  function shown({ spec, status, sizeBytes }: TraceState) {
    return {
      name: spec.name,
      type: spec.kind,
      [spec.kind]: spec.value,
      start_at: timestampS(spec.startAtMs),
      end_at: timestampS(spec.endAtMs),
      payload_encode: spec.payloadEncode,
      payload_limit: spec.payloadLimit,
      formatter: spec.formatter,
      status,
      log_size: { [node.name]: sizeBytes },
    };
  }

  return [
    route({
      ...shared,
      method: "GET",
      path: "/trace",
      summary: "All traces",
      schema: { answers: { 200: { type: "array", items: TRACE } } },
      handle: () => ok(traces.list().map(shown)),
    }),
    route({
      ...shared,
      method: "POST",
      path: "/trace",
      summary: "Trace a client, a topic or an address",
      description:
        "At most 30 traces, 8 MB each and 64 MB together. What they write is readable for administrators and viewers.",
      schema: { body: CREATE, answers: { 200: TRACE } },
      handle({ body }) {
        const { nowMs } = statistics.node();
        const startAtMs = body.start_at === undefined ? nowMs : parseTime(body.start_at, "s");
        const endAtMs =
          body.end_at === undefined ? startAtMs + DEFAULT_LENGTH_MS : parseTime(body.end_at, "s");
        if (endAtMs <= startAtMs || endAtMs <= nowMs) {
          throw new ApiError(400, "INVALID_PARAMS", "end_at: must be after start_at and now");
        }
        const spec: TraceRequest = {
          name: body.name,
          kind: body.type,
          value: conditionOf(body.type, body[body.type]),
          startAtMs,
          endAtMs,
          formatter: body.formatter ?? "text",
          payloadEncode: body.payload_encode ?? "text",
          payloadLimit: body.payload_limit ?? 1024,
        };
        const outcome = traces.create(spec);
        if (outcome === "exists") {
          throw new ApiError(409, "ALREADY_EXISTS", `${body.name} exists already`);
        }
        if (outcome === "duplicate") {
          throw new ApiError(409, "DUPLICATE_CONDITION", `${spec.value} is traced already`);
        }
        if (outcome === "full") {
          throw new ApiError(400, "EXCEED_LIMIT", "at most 30 traces and 64 MB; remove some");
        }
        return ok(shown(mustKnow(body.name)));
      },
    }),
    route({
      ...shared,
      method: "DELETE",
      path: "/trace",
      summary: "Remove all traces",
      schema: { answers: { 204: null } },
      async handle() {
        for (const { spec } of traces.list()) await traces.remove(spec.name);
        return noContent();
      },
    }),
    route({
      ...shared,
      method: "DELETE",
      path: "/trace/{name}",
      summary: "Remove a trace with what it wrote",
      schema: { answers: { 204: null } },
      async handle({ params: { name } }) {
        if (!(await traces.remove(name))) throw notFound(name);
        return noContent();
      },
    }),
    route({
      ...shared,
      method: "PUT",
      path: "/trace/{name}/stop",
      summary: "End a trace and keep what it wrote",
      schema: {
        answers: {
          200: {
            type: "object",
            additionalProperties: false,
            properties: {
              name: MEMBERS.name,
              enable: { type: "boolean", description: "False: it is over.", example: false },
            },
            required: ["name", "enable"],
          },
        },
      },
      handle({ params: { name } }) {
        if (!traces.end(name)) throw notFound(name);
        return ok({ name, enable: false });
      },
    }),
    route({
      ...shared,
      method: "GET",
      path: "/trace/{name}/download",
      summary: "What a trace wrote, as a zip file",
      schema: { query: NODE_QUERY, answers: { 200: { type: "string", format: "binary" } } },
      produces: "application/zip",
      handle({ params: { name }, query }) {
        if (query.node !== undefined) requireNode(node, query.node);
        if (mustKnow(name).sizeBytes === 0) throw notFound(name);
        const inside = `${node.name.replace(/[^\w.@-]/g, "_")}/trace_${name}.log`;
        const read = (position: number, bytes: number) => traces.read(name, position, bytes);
        return file(`trace_${name}.zip`, "application/zip", zipOf(inside, read));
      },
    }),
    route({
      ...shared,
      method: "GET",
      path: "/trace/{name}/log",
      summary: "A piece of what a trace wrote",
      description: "At most 1 MB at once. `hint` is `eof` when nothing comes any more.",
      schema: {
        query: {
          type: "object",
          properties: {
            bytes: {
              type: "integer",
              minimum: 1,
              maximum: 67_108_864,
              default: 1000,
              description: "Most bytes wanted.",
              example: 1000,
            },
            position: {
              type: "integer",
              minimum: 0,
              default: 0,
              description: "Where to begin; what the last piece's `meta` said.",
              example: 0,
            },
            node: NODE,
          },
        },
        answers: {
          200: {
            type: "object",
            additionalProperties: false,
            properties: {
              items: { type: "string", description: "The text.", example: "" },
              meta: {
                type: "object",
                additionalProperties: false,
                properties: {
                  position: {
                    type: "integer",
                    description: "Where the next piece begins.",
                    example: 1000,
                  },
                  bytes: { type: "integer", description: "What was asked for.", example: 1000 },
                  hint: { type: "string", enum: ["eof", "retry"], example: "retry" },
                },
                required: ["position", "bytes", "hint"],
              },
            },
            required: ["items", "meta"],
          },
        },
      },
      async handle({ params: { name }, query }) {
        if (query.node !== undefined) requireNode(node, query.node);
        const { bytes = 1000, position = 0 } = query;
        const part = await traces.read(name, position, Math.min(bytes, MAX_PIECE_BYTES));
        if (part === null) throw notFound(name);
        const hint = part.isEnd ? "eof" : "retry";
        return ok({ items: part.text, meta: { position: part.position, bytes, hint } });
      },
    }),
    route({
      ...shared,
      method: "GET",
      path: "/trace/{name}/log_detail",
      summary: "How much a trace wrote",
      schema: {
        answers: {
          200: {
            type: "array",
            items: {
              type: "object",
              additionalProperties: false,
              properties: {
                node: NODE,
                size: { type: "integer", description: "Bytes.", example: 1234 },
                mtime: {
                  type: "integer",
                  description: "Newest line, ms since 1970.",
                  example: 1_700_000_010_000,
                },
              },
              required: ["node", "size", "mtime"],
            },
          },
        },
      },
      handle({ params: { name } }) {
        const { sizeBytes, changedAtMs } = mustKnow(name);
        return ok([{ node: node.name, size: sizeBytes, mtime: Math.round(changedAtMs) }]);
      },
    }),
  ];
}

/** @throws ApiError 400 for a condition that fits nothing */
function conditionOf(kind: TraceRequest["kind"], value: string | undefined): string {
  if (value === undefined) throw new ApiError(400, "INVALID_PARAMS", `${kind}: is required`);
  if (kind === "ip_address" && isIP(value) === 0) {
    throw new ApiError(400, "INVALID_PARAMS", `ip_address: ${value} is none`);
  }
  if (kind === "topic") {
    try {
      topicFilter(value);
    } catch (err) {
      if (isGatewayError(err)) throw new ApiError(400, "INVALID_PARAMS", err.message);
      throw err;
    }
  }
  return value;
}

function notFound(name: string): ApiError {
  return new ApiError(404, "NOT_FOUND", `trace ${name} is not there, or has nothing`);
}
