export { later } from "../../serialize.ts";
export { createTurns, inTurns } from "../../turns.ts";
export type { Answer } from "./answer.ts";
export {
  ApiError,
  accepted,
  created,
  empty,
  file,
  json,
  noContent,
  ok,
  text,
} from "./answer.ts";
export { bodyTypesOf } from "./body.ts";
export { sendNotFound } from "./not-found.ts";
export type { Page, PageOptions } from "./paging.ts";
export { PAGE_QUERY, pageSchema, paginate } from "./paging.ts";
export type {
  AccessRule,
  Caller,
  JSONSchema,
  Method,
  Role,
  Route,
  RouteRequest,
  RouteSchema,
  UploadedFile,
  UploadedStream,
} from "./route.ts";
export { route } from "./route.ts";
export type { CheckAccess } from "./serve.ts";
export { pathParameters, serveRoutes } from "./serve.ts";
export {
  formatDuration,
  formatSize,
  parseDuration,
  parseSize,
  parseTime,
  timestampMs,
  timestampS,
} from "./values.ts";
export { API_VERSION } from "./version.ts";
