import type { Config } from "../config/index.ts";
import type { Log } from "../log/index.ts";
import type { Peer } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import { Accounts, type Verdict } from "./accounts.ts";
import { Acl, type AclRequest } from "./acl.ts";
import { FailureLog } from "./failure-log.ts";
import { GuessGuard } from "./guess-guard.ts";
import { HashSlots } from "./hash-slots.ts";
import { verifyPassword } from "./password.ts";

/** Longest user name and password that the configuration can hold, in bytes. */
const MAX_USERNAME_BYTES = 1024;
const MAX_PASSWORD_BYTES = 4096;

/** A list of names in a log line ends here. */
const MAX_NAMES_LOGGED = 10;

const RESULTS = {
  right: "accepted",
  wrong: "bad_credentials",
  overloaded: "not_authorized",
} as const satisfies Record<Verdict, AuthResult>;

export interface AuthDeps {
  readonly log: Log;
  readonly clock: Clock;
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
 * `bad_credentials`: wrong or missing ones (CONNACK 4, or 0x86). `not_authorized`: not checked
 * because too many logins wait; the client may try again (CONNACK 5, or 0x87).
 */
export type AuthResult = "accepted" | "bad_credentials" | "not_authorized";

export interface AuthStatus {
  readonly accepted: number;
  readonly badCredentials: number;
  /** Logins refused unchecked because too many were waiting. */
  readonly overloaded: number;
}

/** Who may connect, and what a client may publish and subscribe to. */
export interface Auth {
  /** Logs what an operator should know about the configuration. */
  start(): Promise<void>;
  /** Refuses the logins that still wait. */
  stop(): Promise<void>;
  status(): AuthStatus;
  /**
   * Decides a CONNECT. May take seconds while somebody guesses; never throws.
   *
   * - No user name and no password: accepted where anonymous clients are allowed.
   * - A user name is always verified, also where anonymous clients are allowed; an empty password
   *   never fits, nor does a password without a user name (which MQTT 5.0 §3.1.2.9 permits).
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
  /** Changes with the access rules, so that the broker may remember answers in between. */
  revision(): number;
  /** What the broker does to a client whose PUBLISH is denied. */
  readonly denyAction: "ignore" | "disconnect";
  /**
   * Decides one PUBLISH or one filter of a SUBSCRIBE by the access rules: the first rule that fits
   * client and topic decides, `acl.no_match` when none does.
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
 * Authentication by the configured users and authorisation by the configured rules.
 *
 * @throws GatewayError CONFIG_CHECK_FAILED for a rule that could never work as written: an address
 *   that is none, a filter against the grammar, an empty name. Building has no side effects, so this
 *   also serves to check a configuration.
 */
export function createAuth(deps: AuthDeps, cfg: AuthConfig): Auth {
  const log = deps.log.child({ part: "auth" });
  const slots = new HashSlots();
  const accounts = new Accounts(cfg.auth.users, slots);
  const guard = new GuessGuard(deps.clock);
  const failures = new FailureLog(log, deps.clock);
  const acl = new Acl(cfg.acl);
  let isAnonymousAllowed = cfg.auth.allow_anonymous;
  let accepted = 0;

  async function decide({ username, password, peer }: AuthRequest): Promise<AuthResult> {
    if (username === null && password === null) {
      return isAnonymousAllowed ? "accepted" : "bad_credentials";
    }
    const attempt = await guard.enter(peer.address, username ?? "");
    if (attempt === null) return "not_authorized";
    const verdict = await verify(username, password);
    attempt.done(verdict === "overloaded" ? "undecided" : verdict);
    return RESULTS[verdict];
  }

  /** What cannot fit any user is not worth a hash; that does not depend on who exists. */
  async function verify(username: string | null, password: Buffer | null): Promise<Verdict> {
    if (username === null || password === null || password.length === 0) return "wrong";
    if (Buffer.byteLength(username) > MAX_USERNAME_BYTES) return "wrong";
    if (password.length > MAX_PASSWORD_BYTES) return "wrong";
    try {
      return await accounts.verify(username, password);
    } catch (err) {
      // scrypt fails when the memory for it cannot be had.
      log.error({ err }, "password could not be verified");
      return "overloaded";
    }
  }

  return {
    // The rules are compiled once; a change of them is applied by a restart.
    revision: () => 0,
    verifyPassword: async (clear, stored) =>
      (await slots.run(() => verifyPassword(clear, stored))) ?? false,
    async start() {
      log.info({ users: accounts.size, rules: cfg.acl.rules.length }, "access rules in force");
      if (accounts.clearTextCount > 0) {
        log.warn(
          { count: accounts.clearTextCount },
          "passwords stand in the configuration as clear text",
        );
      }
      if (accounts.unusable.length > 0) {
        const users = accounts.unusable.slice(0, MAX_NAMES_LOGGED);
        log.warn({ users }, "users with an empty password or a damaged hash cannot log in");
      }
      if (accounts.repeated.length > 0) {
        const users = accounts.repeated.slice(0, MAX_NAMES_LOGGED);
        log.warn({ users }, "users given twice: the first entry counts");
      }
    },
    async stop() {
      guard.stop();
      failures.flush();
    },
    status: () => ({
      accepted,
      badCredentials: failures.totals.bad_credentials,
      overloaded: failures.totals.overloaded,
    }),
    async authenticate(request) {
      const result = await decide(request);
      if (result === "accepted") accepted++;
      else
        failures.count(result === "bad_credentials" ? result : "overloaded", request.peer.address);
      return result;
    },
    setAllowAnonymous(value) {
      isAnonymousAllowed = value;
    },
    denyAction: cfg.acl.deny_action,
    authorize: (request) => acl.authorize(request),
  };
}
