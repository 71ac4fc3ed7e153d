import type { Config } from "../config/index.ts";
import type { Log } from "../log/index.ts";
import type { Peer } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import { Accounts } from "./accounts.ts";
import type { AclCounts, AclRequest, RememberedDecision } from "./acl.ts";
import { FailureLog } from "./failure-log.ts";
import { GuessGuard } from "./guess-guard.ts";
import { HashSlots } from "./hash-slots.ts";
import { verifyPassword } from "./password.ts";
import { RateMeter, type Rates } from "./rate-meter.ts";
import type { RecordTable } from "./record-table.ts";
import { type RuleDatabase, StoredRules } from "./rule-database.ts";
import { Rules, type SourceStatus, type SourceType } from "./rules.ts";
import {
  MAX_PASSWORD_BYTES,
  MAX_USERNAME_BYTES,
  StoredUsers,
  type UserDatabase,
} from "./user-database.ts";
import { type Verification, Verifier } from "./verifier.ts";

/** A list of names in a log line ends here. */
const MAX_NAMES_LOGGED = 10;

/** Places of the account sources: who stands first knows a name first. */
const CONFIGURED = 0;
const DATABASE = 1;

export interface AuthDeps {
  readonly log: Log;
  readonly clock: Clock;
  /** Where the built-in databases are kept; its tables are usable when this part starts. */
  readonly store: { table(name: string): RecordTable };
}

export interface AuthConfig {
  readonly auth: Config["auth"];
  readonly acl: Config["acl"];
}

/** Who wants in, as CONNECT says it; null for what it left out. */
export interface AuthRequest {
  readonly clientId: string;
  readonly username: string | null;
  readonly password: Buffer | null;
  readonly peer: Peer;
}

/**
 * `accepted_superuser`: the account is one whose requests no rule denies. `bad_credentials`: wrong
 * or missing ones (CONNACK 4, or 0x86). `not_authorized`: not checked because too many logins wait;
 * the client may try again (CONNACK 5, or 0x87).
 */
export type AuthResult = "accepted" | "accepted_superuser" | "bad_credentials" | "not_authorized";

export interface AuthStatus {
  readonly accepted: number;
  /** Of these, without user name and password. */
  readonly anonymous: number;
  readonly badCredentials: number;
  /** Logins refused unchecked because too many were waiting. */
  readonly overloaded: number;
  /** Access rules: a connection that repeats itself is not counted again. */
  readonly rules: AclCounts;
}

/** What the built-in database did since the start. */
export interface DatabaseStatus {
  readonly success: number;
  readonly failed: number;
  /** Logins with a name that nobody knows. */
  readonly nomatch: number;
  readonly rates: Rates;
}

/** Who may connect, and what a client may publish and subscribe to. */
export interface Auth {
  /** Reads the databases, and logs what an operator should know about the configuration. */
  start(): Promise<void>;
  /** Refuses the logins that still wait. */
  stop(): Promise<void>;
  status(): AuthStatus;
  /**
   * Decides a CONNECT. May take seconds while somebody guesses; never throws.
   *
   * - No user name and no password: accepted where anonymous clients are allowed.
   * - A user name is always verified, also where anonymous clients are allowed; an empty password
   *   never fits. A password without a user name (which MQTT 5.0 §3.1.2.9 permits) fits only the
   *   user that a built-in database knows by the client id.
   * - The configured users are asked first, then the built-in database; who knows the name decides.
   * - Unknown user and wrong password cost the same time and give the same answer.
   * - After 5 failures an address waits before each further attempt, 0.5 s doubling to 10 s; after
   *   10 failures a user name adds 0.25 s doubling to 4 s. Users who logged in from an address
   *   before are exempt there until they fail themselves. Forgotten after 15 minutes.
   */
  authenticate(request: AuthRequest): Promise<AuthResult>;
  /**
   * Whether `clear` is the password behind `stored`, a hash or clear text, for logins other than
   * MQTT's: they share its threads. False, unchecked, when too many logins wait.
   */
  verifyPassword(clear: string, stored: string): Promise<boolean>;
  /** Whether anonymous clients are accepted from now on; connected ones stay. */
  setAllowAnonymous(value: boolean): void;
  /**
   * Applies what may change without a restart: the built-in database and the sources, settings and
   * cache of the access rules. Live sessions stay, also those of users who are gone; what they
   * publish and subscribe to is judged anew.
   * @throws GatewayError CONFIG_CHECK_FAILED, and everything stays as it was
   */
  reconfigure(cfg: AuthConfig): void;
  /** The users and rules that the API keeps. */
  readonly users: UserDatabase;
  readonly rules: RuleDatabase;
  databaseStatus(): DatabaseStatus;
  sourceStatus(type: SourceType): SourceStatus;
  /** Decisions remembered for a client; they never outlive a change. */
  rememberedDecisions(clientId: string): Iterable<RememberedDecision>;
  /** Of one client, or of all. */
  forgetDecisions(clientId?: string): void;
  /**
   * Changes with the access rules, so that the broker may remember answers in between; negative
   * while it is not to.
   */
  revision(): number;
  /** What the broker does to a client whose PUBLISH is denied. */
  readonly denyAction: "ignore" | "disconnect";
  /**
   * Decides one PUBLISH or one filter of a SUBSCRIBE by the access rules: the configured ones, then
   * the sources in their order, of the built-in database those of the client id, the user name, and
   * everybody. The first rule that fits client, action, QoS, Retain and topic decides, `acl.no_match`
   * when none does. Superusers of the built-in database may do everything.
   *
   * - A publish fits a rule when one of its filters matches the topic.
   * - A subscription fits an `allow` rule when one of its filters covers the whole requested filter,
   *   and a `deny` rule as soon as one topic could match both: deliveries are not checked one by
   *   one, so a subscription is granted only if nothing denied can come through it. `deny secret/#`
   *   therefore refuses `#` and `+/x` too, unless an earlier rule allows that whole filter.
   * - `@x` compares with the topic or the requested filter literally (without wildcards in `x` it is
   *   the same as `x`). `${clientid}` and `${username}` stand for the client's own; a value with
   *   `+`, `#` or `/`, or with `$` in front of the whole filter, denies. A client without user name
   *   never fits a filter with `${username}`.
   * - All conditions of a rule must fit (`ipaddr`, `username`, `clientid`, every one of `and`, one
   *   of `or`); a rule without any is about everybody.
   * - `$share/group/filter` is decided by its filter.
   */
  authorize(request: AclRequest): boolean;
}

/**
 * Authentication by the configured users and the built-in database, authorisation by the configured
 * rules and the sources after them.
 *
 * @throws GatewayError CONFIG_CHECK_FAILED for a rule that could never work as written: an address
 *   that is none, a filter against the grammar, an empty name.
 */
export function createAuth(deps: AuthDeps, cfg: AuthConfig): Auth {
  const { clock } = deps;
  const log = deps.log.child({ part: "auth" });
  const slots = new HashSlots();
  const accounts = new Accounts(cfg.auth.users);
  const users = new StoredUsers({
    log,
    slots,
    table: () => deps.store.table("mqtt_users"),
    onSuperuserChange: () => rules.changed(),
  });
  const database = new StoredRules({
    log,
    table: () => deps.store.table("acl_rules"),
    onChange: () => rules.changed(),
  });
  const rules = new Rules({ clock, database }, cfg.acl);
  const verifier = new Verifier([accounts, users], slots);
  const guard = new GuessGuard(clock);
  const failures = new FailureLog(log, clock);
  const asked = { success: 0, failed: 0, nomatch: 0 };
  const meter = new RateMeter(clock, () => asked.success + asked.failed + asked.nomatch);
  let storedAnonymous = cfg.auth.allow_anonymous;
  let isAnonymousAllowed = storedAnonymous;
  let accepted = 0;
  let anonymous = 0;
  users.configure(cfg.auth.built_in_database);

  async function decide(request: AuthRequest): Promise<AuthResult> {
    const { clientId, username, password, peer } = request;
    if (username === null && password === null) {
      if (isAnonymousAllowed) anonymous++;
      return isAnonymousAllowed ? "accepted" : "bad_credentials";
    }
    const attempt = await guard.enter(peer.address, accountOf(request));
    if (attempt === null) return "not_authorized";
    const { verdict, source } = await verify(request);
    attempt.done(verdict === "overloaded" ? "undecided" : verdict);
    countDatabase(verdict, source);
    if (verdict === "overloaded") return "not_authorized";
    if (verdict === "wrong") return "bad_credentials";
    const isSuperuser = source === DATABASE && isStillSuperuser({ clientId, username });
    return isSuperuser ? "accepted_superuser" : "accepted";
  }

  /** The name that guesses are counted by: the one whose password would be guessed. */
  function accountOf(request: AuthRequest): string {
    const { username } = request;
    if (username !== null && accounts.find(username) !== undefined) return username;
    return users.nameOf(request) ?? username ?? "";
  }

  /** What cannot fit any user is not worth a hash; that does not depend on who exists. */
  async function verify(request: AuthRequest): Promise<Verification> {
    const { username, password } = request;
    const inDatabase = users.nameOf(request);
    const refused = { verdict: "wrong", source: null } as const;
    if (password === null || password.length === 0) return refused;
    if (username === null && inDatabase === null) return refused;
    for (const name of [username, inDatabase]) {
      if (name !== null && Buffer.byteLength(name) > MAX_USERNAME_BYTES) return refused;
    }
    if (password.length > MAX_PASSWORD_BYTES) return refused;
    try {
      return await verifier.verify({ names: [username, inDatabase], password });
    } catch (err) {
      // scrypt fails when the memory for it cannot be had.
      log.error({ err }, "password could not be verified");
      return { verdict: "overloaded", source: null };
    }
  }

  function countDatabase(verdict: Verification["verdict"], source: number | null): void {
    if (!users.isAsked || source === CONFIGURED || verdict === "overloaded") return;
    if (source === null) asked.nomatch++;
    else if (verdict === "right") asked.success++;
    else asked.failed++;
  }

  /** Superusers lose their rights with their account; they gain them when they connect. */
  function isStillSuperuser(client: { clientId: string; username: string | null }): boolean {
    const name = users.nameOf(client);
    return name !== null && users.get(name)?.isSuperuser === true;
  }

  function logConfigured(): void {
    const counts = { users: accounts.size + users.size, rules: rules.configuredCount };
    log.info(counts, "access rules in force");
    if (accounts.clearTextCount > 0) {
      log.warn(
        { count: accounts.clearTextCount },
        "passwords stand in the configuration as clear text",
      );
    }
    if (accounts.unusable.length > 0) {
      const names = accounts.unusable.slice(0, MAX_NAMES_LOGGED);
      log.warn({ users: names }, "users with an empty password or a damaged hash cannot log in");
    }
    if (accounts.repeated.length > 0) {
      const names = accounts.repeated.slice(0, MAX_NAMES_LOGGED);
      log.warn({ users: names }, "users given twice: the first entry counts");
    }
  }

  return {
    users,
    rules: database,
    revision: () => rules.revision(),
    verifyPassword: async (clear, stored) =>
      (await slots.run(() => verifyPassword(clear, stored))) ?? false,
    async start() {
      await users.load();
      await database.load();
      rules.start();
      meter.start();
      logConfigured();
    },
    async stop() {
      guard.stop();
      failures.flush();
      rules.stop();
      meter.stop();
    },
    status: () => ({
      accepted,
      anonymous,
      badCredentials: failures.totals.bad_credentials,
      overloaded: failures.totals.overloaded,
      rules: rules.counts(),
    }),
    async authenticate(request) {
      const result = await decide(request);
      if (result === "accepted" || result === "accepted_superuser") accepted++;
      else
        failures.count(result === "bad_credentials" ? result : "overloaded", request.peer.address);
      return result;
    },
    setAllowAnonymous(value) {
      isAnonymousAllowed = value;
    },
    reconfigure(next) {
      rules.reconfigure(next.acl);
      users.configure(next.auth.built_in_database);
      // What was set until the process ends stays, unless the stored value changes.
      if (next.auth.allow_anonymous !== storedAnonymous) {
        isAnonymousAllowed = next.auth.allow_anonymous;
      }
      storedAnonymous = next.auth.allow_anonymous;
    },
    databaseStatus: () => ({ ...asked, rates: meter.rates() }),
    sourceStatus: (type) => rules.status(type),
    rememberedDecisions: (clientId) => rules.remembered(clientId),
    forgetDecisions: (clientId) =>
      clientId === undefined ? rules.changed() : rules.forgetClient(clientId),
    get denyAction() {
      return rules.denyAction;
    },
    authorize: (request) =>
      rules.authorize(
        request.isSuperuser && !isStillSuperuser(request)
          ? { ...request, isSuperuser: false }
          : request,
      ),
  };
}
