export type { AclRequest } from "./acl.ts";
export type { Auth, AuthConfig, AuthDeps, AuthRequest, AuthResult, AuthStatus } from "./auth.ts";
export { createAuth } from "./auth.ts";
export { hashPassword, isPasswordHash, verifyPassword } from "./password.ts";
