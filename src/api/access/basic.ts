import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Config } from "../../config/index.ts";
import type { Log } from "../../log/index.ts";
import type { GuessBrake } from "./guessing.ts";
import { credentialsOf, LOGIN_FAULT, type Verdict } from "./verdict.ts";

export interface BasicDeps {
  readonly log: Log;
  readonly brake: GuessBrake;
  verifyPassword(clear: string, stored: string): Promise<boolean>;
}

export type CheckHeader = (header: string | undefined, address: string) => Promise<Verdict>;

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * Checks `Authorization: Basic` (RFC 7617) against the administrator's name and password. A login
 * that worked is remembered as a keyed digest, so that a tool polling every second does not cost a
 * password hash each time.
 */
export function createBasicCheck(deps: BasicDeps, http: Config["http"]): CheckHeader {
  const secret = randomBytes(32);
  const digest = (text: string) => createHmac("sha256", secret).update(text).digest();
  const administrator = digest(http.username);
  let known: Buffer | null = null;

  async function isPassword(clear: string): Promise<boolean> {
    if (!http.password) return false;
    try {
      return await deps.verifyPassword(clear, http.password);
    } catch (err) {
      deps.log.warn({ err }, "a password could not be checked");
      return false;
    }
  }

  return async (header, address) => {
    const encoded = credentialsOf(header, "basic");
    if (encoded === null) return LOGIN_FAULT.noCredentials;
    const pair = BASE64.test(encoded) ? Buffer.from(encoded, "base64").toString("utf8") : "";
    const colon = pair.indexOf(":");
    if (colon < 0) return LOGIN_FAULT.wrongCredentials;
    const name = pair.slice(0, colon);
    const password = pair.slice(colon + 1);
    if (name === "" || password === "") return LOGIN_FAULT.noCredentials;

    const fingerprint = digest(pair);
    if (known !== null && timingSafeEqual(known, fingerprint)) return null;
    if (!(await deps.brake.admit(address))) return LOGIN_FAULT.wrongCredentials;
    // Both parts are always checked: the time taken must not tell a right name from a wrong one.
    const isName = timingSafeEqual(digest(name), administrator);
    if (!(await isPassword(password)) || !isName) {
      deps.brake.failed(address);
      return LOGIN_FAULT.wrongCredentials;
    }
    known = fingerprint;
    deps.brake.succeeded(address);
    return null;
  };
}
