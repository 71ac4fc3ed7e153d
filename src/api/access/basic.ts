import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Config } from "../../config/index.ts";
import type { Log } from "../../log/index.ts";
import type { GuessBrake } from "./guessing.ts";
import { basicPairOf, credentialsOf, LOGIN_FAULT, type Verdict } from "./verdict.ts";

export interface BasicDeps {
  readonly log: Log;
  readonly brake: GuessBrake;
  verifyPassword(clear: string, stored: string): Promise<boolean>;
}

export type CheckHeader = (header: string | undefined, address: string) => Promise<Verdict>;

/**
 * Checks `Authorization: Basic` (RFC 7617) against the administrator's name and password. A login
 * that worked is remembered as a keyed digest, so that a tool polling every second does not cost a
 * password hash each time.
 */
export function createBasicCheck(
  deps: BasicDeps,
  login: () => Pick<Config["http"], "username" | "password">,
): CheckHeader {
  const secret = randomBytes(32);
  const digest = (text: string) => createHmac("sha256", secret).update(text).digest();
  let known: Buffer | null = null;

  async function isPassword(clear: string, stored: string | null): Promise<boolean> {
    if (!stored) return false;
    try {
      return await deps.verifyPassword(clear, stored);
    } catch (err) {
      deps.log.warn({ err }, "a password could not be checked");
      return false;
    }
  }

  return async (header, address) => {
    const encoded = credentialsOf(header, "basic");
    if (encoded === null) return LOGIN_FAULT.noCredentials;
    const pair = basicPairOf(encoded);
    if (pair === null) return LOGIN_FAULT.wrongCredentials;
    const { name, secret: password } = pair;
    if (name === "" || password === "") return LOGIN_FAULT.noCredentials;

    const { username, password: stored } = login();
    // A changed password makes another fingerprint.
    const fingerprint = digest(`${name}:${password}\n${stored}`);
    if (known !== null && timingSafeEqual(known, fingerprint)) return null;
    if (!(await deps.brake.admit(address))) return LOGIN_FAULT.wrongCredentials;
    // Both parts are always checked: the time taken must not tell a right name from a wrong one.
    const isName = timingSafeEqual(digest(name), digest(username));
    if (!(await isPassword(password, stored)) || !isName) {
      deps.brake.failed(address);
      return LOGIN_FAULT.wrongCredentials;
    }
    known = fingerprint;
    deps.brake.succeeded(address);
    return null;
  };
}
