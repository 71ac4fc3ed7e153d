import type { Readable } from "node:stream";

/** What a handler answers; made by the functions of this file. */
export interface Answer {
  readonly status: number;
  readonly content:
    | { readonly kind: "none" }
    | { readonly kind: "json"; readonly value: unknown }
    | { readonly kind: "bytes"; readonly value: string | Buffer | Readable; readonly type: string };
  readonly headers?: Readonly<Record<string, string>>;
}

/** 200 with JSON. */
export const ok = (value: unknown): Answer => json(200, value);

/** 201 with JSON. */
export const created = (value: unknown): Answer => json(201, value);

/** 202 with JSON. */
export const accepted = (value: unknown): Answer => json(202, value);

/** Any status with JSON. */
export function json(status: number, value: unknown): Answer {
  return { status, content: { kind: "json", value } };
}

/** 204. */
export function noContent(): Answer {
  return { status: 204, content: { kind: "none" } };
}

/** A status without a body, for the few operations that answer 200 with nothing. */
export function empty(status: number): Answer {
  return { status, content: { kind: "none" } };
}

/** 200 with text. */
export function text(value: string, type = "text/plain"): Answer {
  return { status: 200, content: { kind: "bytes", value, type } };
}

/** 200 with something to be saved under `name`; a stream is read as fast as the caller takes it. */
export function file(name: string, type: string, value: Buffer | Readable): Answer {
  const safe = name.replace(/[^\w.-]/g, "_");
  return {
    status: 200,
    content: { kind: "bytes", value, type },
    headers: { "content-disposition": `attachment; filename="${safe}"` },
  };
}

/**
 * A refusal in this API's words (reference §4.1), thrown by handlers: `{"code","message"}`, the same
 * text again as `reason`, and the members of `extra`.
 */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly extra: Readonly<Record<string, unknown>>;

  constructor(
    status: number,
    code: string,
    message: string,
    extra: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.extra = extra;
  }
}
