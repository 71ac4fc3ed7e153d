import type { Readable } from "node:stream";
import type { FromSchema, JSONSchema as KnownSchema } from "json-schema-to-ts";
import type { Answer } from "./answer.ts";

/** A JSON Schema of OpenAPI 3.0's vocabulary (with `type: [a, "null"]` for nullable values). */
export type JSONSchema = Readonly<Record<string, unknown>>;

type From<S> = S extends KnownSchema ? FromSchema<S> : unknown;

/** Who calls, as the login has found. */
export interface Caller {
  /** An API key, a user with a token, or nobody in particular on a public path. */
  readonly kind: "key" | "user" | "public";
  readonly name: string;
  readonly role: Role;
}

export type Role = "administrator" | "viewer" | "publisher";

export type Method = "GET" | "POST" | "PUT" | "DELETE";

/**
 * Who may call (reference §2): `any` role as the matrix of §2.3 says, `public` without login, `bearer`
 * as `any` but not with an API key, `own` as `bearer` where every role may act on what is its own and
 * the handler judges that, `publish` for publishers too.
 */
export type AccessRule = "any" | "public" | "bearer" | "own" | "publish";

/** A file that came in a multipart body, or the body itself. */
export interface UploadedFile {
  readonly name: string;
  readonly bytes: Buffer;
}

/** A body that is handled as it comes. */
export interface UploadedStream {
  readonly stream: Readable;
  /** Its announced length, that of a form around it included; null when none was announced. */
  readonly sizeBytes: number | null;
}

export interface RouteSchema {
  /** An object schema; without it each `{name}` of the path is text. */
  readonly params?: JSONSchema;
  /** An object schema; unknown parameters are ignored. Lists take repeated parameters. */
  readonly query?: JSONSchema;
  /** Only what a route has a body schema for is read; text bodies have the schema of a string. */
  readonly body?: JSONSchema;
  /** Body by status; null = none. The refusals every route shares are added by the kit. */
  readonly answers: Readonly<Record<number, JSONSchema | null>>;
}

type PathParam<P extends string> = P extends `${string}{${infer Name}}${infer Rest}`
  ? Name | PathParam<Rest>
  : never;
type Params<S extends RouteSchema, P extends string> = S extends { readonly params: infer T }
  ? From<T>
  : { readonly [Name in PathParam<P>]: string };
type Query<S extends RouteSchema> = S extends { readonly query: infer T }
  ? From<T>
  : Readonly<Record<string, never>>;
type Body<S extends RouteSchema> = S extends { readonly body: infer T } ? From<T> : undefined;

interface Described {
  readonly method: Method;
  /** As in OpenAPI, below `/api/v5`: `/clients/{clientid}`. */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  /** Section of the reference. */
  readonly section: string;
  readonly priority: "P1" | "P2" | "P3";
  /** `any` unless stated; a function where a setting decides. */
  readonly access?: AccessRule | (() => AccessRule);
  readonly schema: RouteSchema;
  /**
   * Kinds of body, JSON unless stated. `text` is `text/plain`. `file` is multipart/form-data, of which
   * the first file is taken, whatever its field is called. `stream` is application/octet-stream of any
   * length and as slow as the caller likes; beside it, the file of a form comes as a stream too.
   */
  readonly consumes?: readonly ("json" | "text" | "file" | "stream")[];
  /** Longest body; 2 MiB unless stated. */
  readonly maxBodyBytes?: number;
  /** Content type of a successful answer that is not JSON. */
  readonly produces?: string;
  /** Served but left out of the OpenAPI document: aliases of other operations for old clients. */
  readonly isAlias?: true;
  /** The test file that covers it. */
  readonly test: string;
}

/** A request that has passed the schemas; percent-decoding is done, defaults are filled in. */
export interface RouteRequest<P, Q, B> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly file: UploadedFile | null;
  /** The body of a route that consumes `stream`; to be read, and bounded, by the handler. */
  readonly upload: UploadedStream | null;
  readonly caller: Caller;
  /** Address of the peer. */
  readonly address: string;
  header(name: string): string | undefined;
}

/** One operation as the kit serves it, its types forgotten. */
export interface Route extends Described {
  handle(request: RouteRequest<unknown, unknown, unknown>): Answer | Promise<Answer>;
}

/**
 * One operation of the API; the types of its request follow from the schemas, which the kit has checked
 * before `handle` is called. Handlers throw `ApiError` and `GatewayError`.
 */
export function route<const S extends RouteSchema, const P extends string>(
  spec: Described & {
    readonly path: P;
    readonly schema: S;
    handle(request: RouteRequest<Params<S, P>, Query<S>, Body<S>>): Answer | Promise<Answer>;
  },
): Route {
  // The kit only calls `handle` with what the schemas of the same route have accepted.
  return spec as unknown as Route;
}
