export type { Access, AccessDeps } from "./access.ts";
export { createAccess } from "./access.ts";
export type { LoginFault } from "./verdict.ts";
