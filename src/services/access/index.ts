export type { ApiKey, ApiKeyChange, ApiKeyRole, ApiKeys, StoredApiKey } from "./api-keys.ts";
export { createApiKeys } from "./api-keys.ts";
export type { StoredUser, User, UserRole, Users } from "./users.ts";
export { createUsers } from "./users.ts";
