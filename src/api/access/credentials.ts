import { createHmac, randomBytes } from "node:crypto";
import type { Log } from "../../log/index.ts";
import type { Clock } from "../../time/index.ts";
import { createGuessBrake } from "./guessing.ts";

export interface CredentialsDeps {
  readonly log: Log;
  readonly clock: Clock;
  verifyPassword(clear: string, stored: string): Promise<boolean>;
}

/** Judges a name with a secret, slowly for who guesses and quickly for who was right before. */
export interface Credentials {
  /**
   * Whether `secret` is the one behind `stored`; null = there is no such account, which takes the same
   * time. Never throws.
   */
  check(login: {
    readonly account: string;
    readonly secret: string;
    readonly stored: string | null;
    readonly address: string;
  }): Promise<boolean>;
}

const MAX_REMEMBERED = 1_024;
/** Longer ones are nobody's, and not worth a hash. */
const MAX_SECRET_CHARS = 4_096;

/** A hash that nothing fits and that costs what a real one costs. */
function nobodysHash(): string {
  const [salt, hash] = [randomBytes(16), randomBytes(32)];
  return `scrypt$16384$8$1$${salt.toString("base64url")}$${hash.toString("base64url")}`;
}

/**
 * A password hash takes 35 to 150 ms by intent. What was right is remembered as a keyed digest of
 * account, secret and stored hash, so that a tool polling every two seconds costs microseconds, and a
 * changed secret is a miss by itself. Guessing is slowed by address, and by account for addresses the
 * account was not used from: its owner is not slowed by somebody else's guesses.
 */
export function createCredentials(deps: CredentialsDeps): Credentials {
  const key = randomBytes(32);
  const nobody = nobodysHash();
  const addresses = createGuessBrake(deps.clock);
  const accounts = createGuessBrake(deps.clock);
  const right = new Set<string>();
  const known = new Set<string>();
  const digest = (...parts: readonly string[]) => {
    const hmac = createHmac("sha256", key);
    for (const part of parts) hmac.update(`${part.length}:${part}`);
    return hmac.digest("base64");
  };

  async function verify(secret: string, stored: string): Promise<boolean> {
    try {
      return await deps.verifyPassword(secret, stored);
    } catch (err) {
      deps.log.warn({ err }, "a password could not be checked");
      return false;
    }
  }

  return {
    async check({ account, secret, stored, address }) {
      if (secret === "" || secret.length > MAX_SECRET_CHARS) return false;
      const fingerprint = stored === null ? null : digest(account, secret, stored);
      if (fingerprint !== null && right.has(fingerprint)) return true;
      const place = digest(account, address);
      if (!(await addresses.admit(address))) return false;
      // The account stands where an address does; a colon would make it look like one.
      const name = digest(account);
      if (!known.has(place) && !(await accounts.admit(name))) return false;
      if (!(await verify(secret, stored ?? nobody)) || fingerprint === null) {
        addresses.failed(address);
        accounts.failed(name);
        return false;
      }
      addresses.succeeded(address);
      remember(right, fingerprint);
      remember(known, place);
      return true;
    },
  };
}

/** Forgets the oldest when it is full. */
function remember(set: Set<string>, entry: string): void {
  set.delete(entry);
  set.add(entry);
  const [oldest] = set;
  if (set.size > MAX_REMEMBERED && oldest !== undefined) set.delete(oldest);
}
