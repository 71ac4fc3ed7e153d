import { createHash, randomBytes } from "node:crypto";
import type { Clock } from "../../time/index.ts";

/** A user as the tokens see it: `storedPassword` changes with the password. */
export interface TokenUser {
  readonly username: string;
  readonly role: "administrator" | "viewer";
  readonly storedPassword: string | null;
}

export interface UserTokensDeps {
  readonly clock: Clock;
  find(username: string): TokenUser | undefined;
}

/** The tokens of users that are logged in. In memory: a restart logs everybody out. */
export interface UserTokens {
  issue(user: TokenUser): string;
  /** Whose token it is; each use gives it its full life again. */
  check(token: string): TokenUser | "unknown" | "expired";
  destroy(token: string): void;
}

const TOKEN_BYTES = 32;
const MAX_TOKENS = 1_000;

interface Issued extends TokenUser {
  untilMs: number;
}

/**
 * Random 256-bit tokens, of which only a digest is kept. One dies by logout, when it is not used for
 * `lifeMs`, and with the user, role and password it was issued for, whoever changes those. The one
 * used longest ago goes first when there are too many.
 */
export function createUserTokens(deps: UserTokensDeps, lifeMs: number): UserTokens {
  const { clock } = deps;
  const tokens = new Map<string, Issued>();
  const keyOf = (token: string) => createHash("sha256").update(token).digest("base64");

  return {
    issue({ username, role, storedPassword }) {
      const token = randomBytes(TOKEN_BYTES).toString("base64url");
      const untilMs = clock.monotonicMs() + lifeMs;
      tokens.set(keyOf(token), { username, role, storedPassword, untilMs });
      const [oldest] = tokens.keys();
      if (tokens.size > MAX_TOKENS && oldest !== undefined) tokens.delete(oldest);
      return token;
    },

    check(token) {
      const key = keyOf(token);
      const issued = tokens.get(key);
      if (issued === undefined) return "unknown";
      const user = deps.find(issued.username);
      if (user?.role !== issued.role || user.storedPassword !== issued.storedPassword) {
        tokens.delete(key);
        return "unknown";
      }
      const nowMs = clock.monotonicMs();
      if (nowMs > issued.untilMs) return "expired";
      tokens.delete(key);
      tokens.set(key, { ...issued, untilMs: nowMs + lifeMs });
      return user;
    },

    destroy(token) {
      tokens.delete(keyOf(token));
    },
  };
}
