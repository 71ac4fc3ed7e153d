import { GatewayError } from "../../errors/index.ts";

/** A refusal that names the canonical key, the value and why it cannot be used. */
export function checkFailed(key: string, value: unknown, reason: string, cause?: unknown) {
  return new GatewayError("CONFIG_CHECK_FAILED", { key, value, reason }, { cause });
}
