import type { FastifyRequest } from "fastify";
import { parseJson } from "../../json.ts";
import { ApiError } from "./answer.ts";
import type { Route, UploadedFile, UploadedStream } from "./route.ts";

export const MAX_BODY_BYTES = 2_097_152;
/** JSON nested deeper than anything this API takes, before anybody walks it by recursion. */
const MAX_DEPTH = 64;

type Kind = "json" | "text" | "file" | "stream";

const KIND_OF_TYPE: Readonly<Record<string, Kind>> = {
  "application/json": "json",
  "text/plain": "text",
  "multipart/form-data": "file",
  "application/octet-stream": "stream",
};

const TYPE_OF_KIND = {
  json: "application/json",
  text: "text/plain",
  file: "multipart/form-data",
  stream: "application/octet-stream",
} as const;

/** Content types a route takes; none when it reads no body. */
export function bodyTypesOf(route: Route): readonly string[] {
  return kindsOf(route).map((kind) => TYPE_OF_KIND[kind]);
}

/** Kinds of body a route reads; none when it has no schema for one. */
function kindsOf({ schema, consumes }: Route): readonly Kind[] {
  return consumes ?? (schema.body === undefined ? [] : ["json"]);
}

/**
 * The kind of the body a request announces, before it is read: null when there is none, or none that
 * matters to the route.
 * @throws ApiError 415
 */
export function bodyKind(route: Route, request: FastifyRequest): Kind | null {
  const { headers } = request;
  const hasBody =
    headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
  const kinds = kindsOf(route);
  if (!hasBody || kinds.length === 0) return null;
  const type = (headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const kind = Object.hasOwn(KIND_OF_TYPE, type) ? KIND_OF_TYPE[type] : undefined;
  if (kind !== undefined && kinds.includes(kind)) return kind;
  const wanted = kinds.map((name) => `content-type:${TYPE_OF_KIND[name]}`).join(" or ");
  throw new ApiError(415, "UNSUPPORTED_MEDIA_TYPE", `${wanted} Required`);
}

/** @throws ApiError 400 for what is not JSON, or not text in UTF-8 */
export function readBody(kind: Kind | null, bytes: unknown): unknown {
  if (!(bytes instanceof Uint8Array) || bytes.length === 0) return kind === "text" ? "" : {};
  if (kind === "text") return readText(bytes);
  const value = parseJson(bytes);
  if (value === undefined || isDeeperThan(value, MAX_DEPTH)) {
    throw new ApiError(400, "BAD_REQUEST", "Invalid json message received");
  }
  return value;
}

/** The first file of a multipart body. @throws ApiError 400 when there is none, 413 */
export async function readFile(request: FastifyRequest, max: number): Promise<UploadedFile> {
  try {
    const limits = { fileSize: max, files: 1, fields: 20, parts: 21 };
    const part = await request.file({ limits });
    if (part !== undefined) return { name: part.filename, bytes: await part.toBuffer() };
  } catch (err) {
    if (err instanceof Error && "statusCode" in err && err.statusCode === 413) throw err;
    throw new ApiError(400, "BAD_REQUEST", "the form cannot be read");
  }
  throw new ApiError(400, "BAD_REQUEST", "a file is missing in the form");
}

/** The body itself, or the first file of a form, unread. @throws ApiError 400 when there is none */
export async function openUpload(kind: Kind, request: FastifyRequest): Promise<UploadedStream> {
  const length = Number(request.headers["content-length"]);
  const sizeBytes = Number.isSafeInteger(length) ? length : null;
  if (kind === "stream") return { stream: request.raw, sizeBytes };
  // How long it may be is the reader's to say.
  const limits = { fileSize: Number.MAX_SAFE_INTEGER, files: 1, fields: 20, parts: 21 };
  const part = await request.file({ limits }).catch(() => {
    throw new ApiError(400, "BAD_REQUEST", "the form cannot be read");
  });
  if (part === undefined) throw new ApiError(400, "BAD_REQUEST", "a file is missing in the form");
  return { stream: part.file, sizeBytes };
}

function readText(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new ApiError(400, "BAD_REQUEST", "the body is not text in UTF-8");
  }
}

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (levels === 0) return true;
  return Object.values(value).some((inner) => isDeeperThan(inner, levels - 1));
}
