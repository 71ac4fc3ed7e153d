export type { Access, AccessDeps } from "./access.ts";
export { createAccess } from "./access.ts";
export type { Credentials } from "./credentials.ts";
export { createCredentials } from "./credentials.ts";
export type { UserTokens } from "./user-tokens.ts";
export { createUserTokens } from "./user-tokens.ts";
export type { LoginFault } from "./verdict.ts";
export { basicPairOf, credentialsOf } from "./verdict.ts";
