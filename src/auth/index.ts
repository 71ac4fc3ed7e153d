export type { AclCounts, AclRequest, RememberedDecision } from "./acl.ts";
export type {
  Auth,
  AuthConfig,
  AuthDeps,
  AuthRequest,
  AuthResult,
  AuthStatus,
  DatabaseStatus,
} from "./auth.ts";
export { createAuth } from "./auth.ts";
export { hashPassword, isPasswordHash, verifyPassword } from "./password.ts";
export type { Rates } from "./rate-meter.ts";
export type { DatabaseRule, OwnedRules, RuleDatabase, RuleOwner } from "./rule-database.ts";
export type { SourceStatus, SourceType } from "./rules.ts";
export { checkRules } from "./rules.ts";
export type { DatabaseUser, ImportedUser, ImportResult, UserDatabase } from "./user-database.ts";
