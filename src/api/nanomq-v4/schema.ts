import type { FastifyInstance, FastifyTypeProvider } from "fastify";
import type { FromSchema, JSONSchema } from "json-schema-to-ts";
import type { ApiServices } from "../deps.ts";

/** Types of a route's parameters and answers, derived from its JSON Schemas at compile time only. */
export interface SchemaTypes extends FastifyTypeProvider {
  readonly validator: this["schema"] extends JSONSchema ? FromSchema<this["schema"]> : unknown;
  readonly serializer: this["schema"] extends JSONSchema ? FromSchema<this["schema"]> : unknown;
}

/** Adds the routes of one resource. */
export type Resource = (app: TypedApp, services: ApiServices) => void;

export type TypedApp = ReturnType<typeof typed>;

export function typed(app: FastifyInstance) {
  return app.withTypeProvider<SchemaTypes>();
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
