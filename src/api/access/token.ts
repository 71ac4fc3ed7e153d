import type { KeyObject } from "node:crypto";
import type { Clock } from "../../time/index.ts";
import { parseJsonObject } from "../json.ts";
import { credentialsOf, LOGIN_FAULT, type Verdict } from "./verdict.ts";

/** A token is still taken this long after its expiry (reference §1.5). */
const GRACE_S = 200;

/**
 * Checks `Authorization: Bearer` tokens: RS256 whatever their header says, `iss` equal to `issuer`,
 * `exp` in seconds as a number or digits. A forged signature cannot be guessed, so these failures are
 * not slowed.
 */
export function createTokenCheck(
  clock: Clock,
  issuer: string,
  publicKey: () => KeyObject | null,
): (header: string | undefined) => Promise<Verdict> {
  return async (header) => {
    const token = credentialsOf(header, "bearer");
    if (token === null) return LOGIN_FAULT.noCredentials;
    const claims = await claimsOf(token, publicKey());
    if (claims === null || claims["iss"] !== issuer) return LOGIN_FAULT.wrongCredentials;
    const expiryS = readExpiry(claims["exp"]);
    if (expiryS === null || clock.nowMs() / 1000 > expiryS + GRACE_S) {
      return LOGIN_FAULT.tokenExpired;
    }
    return null;
  };
}

async function claimsOf(token: string, key: KeyObject | null) {
  if (key === null) return null;
  try {
    // Loaded by gateways that take tokens, not by all.
    const { compactVerify } = await import("jose");
    const { payload } = await compactVerify(token, key, { algorithms: ["RS256"] });
    return parseJsonObject(payload);
  } catch {
    // Malformed, another algorithm, another key: the caller learns no more than "wrong".
    return null;
  }
}

function readExpiry(exp: unknown): number | null {
  if (typeof exp === "string" && /^\d{1,15}$/.test(exp)) return Number(exp);
  return typeof exp === "number" && Number.isSafeInteger(exp) ? exp : null;
}
