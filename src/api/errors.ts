import { type ErrorCode, GatewayError, isGatewayError } from "../errors/index.ts";

/** NanoMQ's result codes as this gateway uses them (reference §1.4). */
export const RESULT = {
  success: 0,
  internal: 101,
  unknown: 102,
  missing: 107,
  invalid: 108,
  notJson: 109,
  clientOffline: 112,
  badTopic: 115,
} as const;

/** A failure in NanoMQ's terms; `message` is for people and names field and value. */
export interface Failure {
  readonly status: number;
  readonly code: number;
  readonly message?: string;
}

const RESULT_OF: Partial<Record<ErrorCode, number>> = {
  CLIENT_NOT_FOUND: RESULT.clientOffline,
  MQTT_FILTER_INVALID: RESULT.badTopic,
  MQTT_TOPIC_INVALID: RESULT.badTopic,
  PARAMETER_MISSING: RESULT.missing,
};

/** Faults of the device that whoever runs it has to mend, and so has to know: a full disk above all. */
const OPERATORS_FAULTS: ReadonlySet<ErrorCode> = new Set([
  "CONFIG_WRITE_FAILED",
  "STORE_FULL",
  "STORE_WRITE_FAILED",
]);

const MAX_MESSAGE_CHARS = 500;

/**
 * What a NanoMQ dialect answers for anything thrown. A caller's mistake carries its message; an
 * internal fault shows nothing of the inside unless the operator has to mend it, and the caller of
 * this function logs it.
 */
export function failureOf(err: unknown): Failure {
  if (!isGatewayError(err)) return { status: 500, code: RESULT.unknown };
  if (err.status >= 500 && !OPERATORS_FAULTS.has(err.code)) {
    return { status: 500, code: RESULT.internal };
  }
  const message = err.message.slice(0, MAX_MESSAGE_CHARS).toWellFormed();
  if (err.status >= 500) return { status: 500, code: RESULT.internal, message };
  return { status: err.status, code: RESULT_OF[err.code] ?? RESULT.invalid, message };
}

/** The same refusal in the caller's vocabulary: `rename` turns the internal key into its name. */
export function renamed(err: unknown, rename: (key: string) => string): unknown {
  const cause = { cause: err };
  if (isGatewayError(err, "CONFIG_CHECK_FAILED")) {
    const key = rename(String(err.details.key));
    return new GatewayError("CONFIG_CHECK_FAILED", { ...err.details, key }, cause);
  }
  if (isGatewayError(err, "CONFIG_VALUE_INVALID")) {
    const key = rename(String(err.details.key));
    return new GatewayError("CONFIG_VALUE_INVALID", { ...err.details, key }, cause);
  }
  if (isGatewayError(err, "PARAMETER_INVALID")) {
    const field = rename(String(err.details.field));
    return new GatewayError("PARAMETER_INVALID", { ...err.details, field }, cause);
  }
  return err;
}
