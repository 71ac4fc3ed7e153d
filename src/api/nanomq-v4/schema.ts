import type { FastifyInstance, FastifyTypeProvider } from "fastify";
import type { FromSchema, JSONSchema } from "json-schema-to-ts";
import type { Services } from "../../services/index.ts";
import { RESULT } from "../errors.ts";
import { serialize } from "../serialize.ts";

/** Types of a route's parameters and answers, derived from its JSON Schemas at compile time only. */
export interface SchemaTypes extends FastifyTypeProvider {
  readonly validator: this["schema"] extends JSONSchema ? FromSchema<this["schema"]> : unknown;
  readonly serializer: this["schema"] extends JSONSchema ? FromSchema<this["schema"]> : unknown;
}

/** Adds the routes of one resource. */
export type Resource = (app: TypedApp, services: Services) => void;

export type TypedApp = ReturnType<typeof typed>;

export function typed(app: FastifyInstance) {
  return app.withTypeProvider<SchemaTypes>();
}

/** Answers with `{code: 0, data}`, written in turns where it is long. */
export function sendList<R extends { send(body: never): unknown }>(
  reply: R,
  data: readonly unknown[],
): R {
  // The types of a route's answers know nothing of a body that is written already.
  const plain: { send(body: unknown): unknown } = reply as R & { send(body: unknown): unknown };
  plain.send(serialize({ code: RESULT.success, data }));
  return reply;
}

/** An answer of just a result code. */
export const CODE_ONLY = {
  type: "object",
  properties: { code: { type: "integer" } },
  required: ["code"],
} as const;

/** A refusal; `message` names field and value where there are any. */
export const FAILURE = {
  type: "object",
  properties: { code: { type: "integer" }, message: { type: "string" } },
  required: ["code"],
} as const;

/** The schema of `{code: 0, data: [row, …]}`. */
export function listOf<const S>(row: S) {
  return {
    type: "object",
    properties: { code: { type: "integer" }, data: { type: "array", items: row } },
    required: ["code", "data"],
  } as const;
}
