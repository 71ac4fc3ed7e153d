export type { Api, ApiStatus } from "./api.ts";
export { createApi } from "./api.ts";
export type { ApiConfig, ApiDeps } from "./deps.ts";
