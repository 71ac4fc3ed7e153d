import type { Config } from "../config/index.ts";

/** How passwords of the built-in database are kept, and by what its users are named. */
export type BuiltInDatabase = NonNullable<Config["auth"]["built_in_database"]>;
export type AclSource = Config["acl"]["sources"][number];
export type AclSourceType = AclSource["type"];

/** What is beside the rules: the decision when none fits, what denial costs, what is remembered. */
export type AclSettings = Pick<Config["acl"], "no_match" | "deny_action" | "cache">;

export interface MqttUser {
  readonly userId: string;
  readonly isSuperuser: boolean;
}

export interface ImportedUser extends MqttUser {
  readonly secret: { readonly password: string } | { readonly hash: string; readonly salt: string };
}

/** The users of the built-in database; changes count at once. */
export interface MqttUsers {
  readonly size: number;
  get(userId: string): MqttUser | null;
  list(): Iterable<MqttUser>;
  create(user: MqttUser & { readonly password: string }): Promise<void>;
  update(
    userId: string,
    change: { readonly password: string | null; readonly isSuperuser: boolean },
  ): Promise<void>;
  delete(userId: string): Promise<void>;
  clear(): Promise<void>;
  import(users: readonly ImportedUser[]): Promise<{
    readonly total: number;
    readonly success: number;
    readonly override: number;
  }>;
}

export interface AclRule {
  readonly topic: string;
  readonly permission: "allow" | "deny";
  readonly action: "publish" | "subscribe" | "all";
  readonly qos: readonly (0 | 1 | 2)[];
  readonly retain: "all" | boolean;
}

export interface OwnedRules {
  readonly name: string;
  readonly rules: readonly AclRule[];
}

export type RuleOwner = "clients" | "users";

/** The rules of the built-in database; changes count at once. */
export interface AclRules {
  get(owner: RuleOwner, name: string): readonly AclRule[] | null;
  list(owner: RuleOwner): Iterable<OwnedRules>;
  count(owner: RuleOwner): number;
  all(): readonly AclRule[];
  create(owner: RuleOwner, entries: readonly OwnedRules[]): Promise<void>;
  put(owner: RuleOwner, entry: OwnedRules): Promise<void>;
  delete(owner: RuleOwner, name: string): Promise<void>;
  putAll(rules: readonly AclRule[]): Promise<void>;
  clear(): Promise<void>;
}

interface Rates {
  readonly now: number;
  readonly last5m: number;
  readonly max: number;
}

/** What the databases and rules did. */
export interface MqttAuthStatus {
  databaseStatus(): {
    readonly success: number;
    readonly failed: number;
    readonly nomatch: number;
    readonly rates: Rates;
  };
  sourceStatus(type: AclSourceType): {
    readonly allow: number;
    readonly deny: number;
    readonly nomatch: number;
    readonly rates: Rates;
  };
  rememberedDecisions(clientId: string): Iterable<{
    readonly topic: string;
    readonly qos: 0 | 1 | 2;
    readonly retain: boolean;
    readonly isAllowed: boolean;
    readonly atMs: number;
  }>;
}

/** Where something moves to in a list. */
export type Position<T> = "front" | "rear" | { readonly before: T } | { readonly after: T };

/**
 * Who may connect, publish and subscribe, as the API changes it. Settings are part of the
 * configuration, users and rules of the databases; all of it counts from the next request on.
 * Changes of settings throw what `Configuration.change` throws beside what is named.
 */
export interface MqttAccess {
  /** Null while no database takes part in logins. */
  database(): BuiltInDatabase | null;
  /** @throws GatewayError AUTHENTICATOR_EXISTS */
  createDatabase(settings: BuiltInDatabase): Promise<void>;
  /** @throws GatewayError AUTHENTICATOR_NOT_FOUND */
  changeDatabase(change: (present: BuiltInDatabase) => BuiltInDatabase): Promise<void>;
  /** Its users go with it. @throws GatewayError AUTHENTICATOR_NOT_FOUND */
  deleteDatabase(): Promise<void>;
  databaseStatus: MqttAuthStatus["databaseStatus"];
  /** @throws GatewayError AUTHENTICATOR_NOT_FOUND while there is no database */
  users(): MqttUsers;

  sources(): readonly AclSource[];
  /** @throws GatewayError ACL_SOURCE_NOT_FOUND */
  source(type: AclSourceType): AclSource;
  /** Becomes the first. @throws GatewayError ACL_SOURCE_EXISTS */
  createSource(source: AclSource): Promise<void>;
  /** @throws GatewayError ACL_SOURCE_NOT_FOUND */
  changeSource(source: AclSource): Promise<void>;
  /** The rules of a database go with it. @throws GatewayError ACL_SOURCE_NOT_FOUND */
  deleteSource(type: AclSourceType): Promise<void>;
  /** @throws GatewayError ACL_SOURCE_NOT_FOUND, also for the one it moves to */
  moveSource(type: AclSourceType, position: Position<AclSourceType>): Promise<void>;
  /** @throws GatewayError PARAMETER_INVALID unless each source is there once */
  orderSources(types: readonly string[]): Promise<void>;
  sourceStatus: MqttAuthStatus["sourceStatus"];
  /** @throws GatewayError ACL_SOURCE_NOT_FOUND while the database is no source */
  rules(): AclRules;
  /** @throws GatewayError ACL_SOURCE_NOT_FOUND, ACL_RULES_IN_FORCE unless the source is disabled */
  clearRules(): Promise<void>;

  settings(): AclSettings;
  setSettings(settings: AclSettings): Promise<void>;
  rememberedDecisions: MqttAuthStatus["rememberedDecisions"];
  forgetDecisions(clientId?: string): void;
}
