import type { Config } from "../config/index.ts";
import { GatewayError } from "../errors/index.ts";
import type { Configuration } from "./configuration/index.ts";

/** How passwords of the built-in database are kept, and by what its users are named. */
export type BuiltInDatabase = NonNullable<Config["auth"]["built_in_database"]>;
/** Where access rules come from. */
export type AclSource = Config["acl"]["sources"][number];
export type AclSourceType = AclSource["type"];

/** What is beside the rules: the decision when none fits, what denial costs, what is remembered. */
export type AclSettings = Pick<Config["acl"], "no_match" | "deny_action" | "cache">;

/** A user of the built-in database, by its user name or client id. */
export interface MqttUser {
  readonly userId: string;
  readonly isSuperuser: boolean;
}

/** A user from a file, its password in clear text or hashed elsewhere. */
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

/** One rule of the built-in database; its topic may hold wildcards and placeholders. */
export interface AclRule {
  readonly topic: string;
  readonly permission: "allow" | "deny";
  readonly action: "publish" | "subscribe" | "all";
  readonly qos: readonly (0 | 1 | 2)[];
  readonly retain: "all" | boolean;
}

/** The rules of one client or user. */
export interface OwnedRules {
  readonly name: string;
  readonly rules: readonly AclRule[];
}

/** Whose rules: of a client id or of a user name. */
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

/** What decides about MQTT clients. */
export interface MqttAuth {
  readonly users: MqttUsers;
  readonly rules: AclRules;
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
  forgetDecisions(clientId?: string): void;
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
  databaseStatus: MqttAuth["databaseStatus"];
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
  sourceStatus: MqttAuth["sourceStatus"];
  /** @throws GatewayError ACL_SOURCE_NOT_FOUND while the database is no source */
  rules(): AclRules;
  /** @throws GatewayError ACL_SOURCE_NOT_FOUND, ACL_RULES_IN_FORCE unless the source is disabled */
  clearRules(): Promise<void>;

  settings(): AclSettings;
  setSettings(settings: AclSettings): Promise<void>;
  rememberedDecisions: MqttAuth["rememberedDecisions"];
  forgetDecisions(clientId?: string): void;
}

export interface MqttAccessDeps {
  readonly auth: MqttAuth;
  readonly configuration: Pick<Configuration, "change" | "current">;
}

const DATABASE_ID = "password_based:built_in_database";
const DATABASE_SOURCE = "built_in_database";

export function createMqttAccess({ auth, configuration }: MqttAccessDeps): MqttAccess {
  const current = () => configuration.current();

  async function change(
    make: (stored: Config) => Readonly<Record<string, unknown>>,
  ): Promise<void> {
    await configuration.change(async (stored) => ({ patch: make(stored), pems: {} }), {
      force: false,
    });
  }

  const changeSources = (make: (sources: readonly AclSource[]) => readonly AclSource[]) =>
    change((stored) => ({ acl: { sources: make(stored.acl.sources) } }));

  return {
    database: () => current().auth.built_in_database,
    createDatabase: (settings) =>
      change(({ auth: { built_in_database: present } }) => {
        if (present !== null) throw new GatewayError("AUTHENTICATOR_EXISTS", { id: DATABASE_ID });
        return { auth: { built_in_database: settings } };
      }),
    changeDatabase: (make) =>
      change(({ auth: { built_in_database: present } }) => ({
        auth: { built_in_database: make(mustBe(present)) },
      })),
    async deleteDatabase() {
      await change(({ auth: { built_in_database: present } }) => {
        mustBe(present);
        return { auth: { built_in_database: null } };
      });
      await auth.users.clear();
    },
    databaseStatus: () => auth.databaseStatus(),
    users() {
      mustBe(current().auth.built_in_database);
      return auth.users;
    },

    sources: () => current().acl.sources,
    source: (type) => find(current().acl.sources, type),
    createSource: (source) =>
      changeSources((sources) => {
        const { type } = source;
        if (sources.some((one) => one.type === type)) {
          throw new GatewayError("ACL_SOURCE_EXISTS", { type });
        }
        return [source, ...sources];
      }),
    changeSource: (source) =>
      changeSources((sources) => {
        find(sources, source.type);
        return sources.map((one) => (one.type === source.type ? source : one));
      }),
    async deleteSource(type) {
      await changeSources((sources) => without(sources, find(sources, type)));
      if (type === DATABASE_SOURCE) await auth.rules.clear();
    },
    moveSource: (type, position) =>
      changeSources((sources) => {
        const moved = find(sources, type);
        const others = without(sources, moved);
        if (position === "front") return [moved, ...others];
        if (position === "rear") return [...others, moved];
        const isBefore = "before" in position;
        const at = others.indexOf(find(others, isBefore ? position.before : position.after));
        return others.toSpliced(isBefore ? at : at + 1, 0, moved);
      }),
    orderSources: (types) =>
      changeSources((sources) => {
        const isComplete = types.length === sources.length && new Set(types).size === types.length;
        const ordered = types.flatMap((type) => sources.filter((one) => one.type === type));
        if (isComplete && ordered.length === sources.length) return ordered;
        const expected = `each of ${sources.map(({ type }) => type).join(", ")} once`;
        throw new GatewayError("PARAMETER_INVALID", { field: "order", value: types, expected });
      }),
    sourceStatus: (type) => auth.sourceStatus(type),
    rules() {
      find(current().acl.sources, DATABASE_SOURCE);
      return auth.rules;
    },
    async clearRules() {
      const { enable } = find(current().acl.sources, DATABASE_SOURCE);
      if (enable) throw new GatewayError("ACL_RULES_IN_FORCE", {});
      await auth.rules.clear();
    },

    settings: () => current().acl,
    setSettings: ({ no_match, deny_action, cache }) =>
      change(() => ({ acl: { no_match, deny_action, cache } })),
    rememberedDecisions: (clientId) => auth.rememberedDecisions(clientId),
    forgetDecisions: (clientId) => auth.forgetDecisions(clientId),
  };
}

function mustBe(database: BuiltInDatabase | null): BuiltInDatabase {
  if (database === null) throw new GatewayError("AUTHENTICATOR_NOT_FOUND", { id: DATABASE_ID });
  return database;
}

function find(sources: readonly AclSource[], type: string): AclSource {
  const source = sources.find((one) => one.type === type);
  if (source === undefined) throw new GatewayError("ACL_SOURCE_NOT_FOUND", { type });
  return source;
}

function without(sources: readonly AclSource[], source: AclSource): readonly AclSource[] {
  return sources.filter((one) => one !== source);
}
