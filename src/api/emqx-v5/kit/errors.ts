import { type ErrorCode, isGatewayError } from "../../../errors/index.ts";
import { ApiError } from "./answer.ts";

/** Errors of the gateway that have a code of their own here; others go by their HTTP status. */
const ROWS: Partial<Record<ErrorCode, readonly [status: number, code: string]>> = {
  BAN_EXISTS: [400, "ALREADY_EXISTS"],
  BRIDGE_EXISTS: [400, "ALREADY_EXISTS"],
  CLIENT_NOT_FOUND: [404, "CLIENTID_NOT_FOUND"],
  LISTENER_BIND_FAILED: [400, "BAD_REQUEST"],
  LISTENER_EXISTS: [400, "BAD_LISTENER_ID"],
  LISTENER_NOT_FOUND: [404, "BAD_LISTENER_ID"],
  STORE_FULL: [503, "SERVICE_UNAVAILABLE"],
  STORE_WRITE_FAILED: [503, "SERVICE_UNAVAILABLE"],
  CONFIG_WRITE_FAILED: [503, "SERVICE_UNAVAILABLE"],
  UPDATE_NO_SPACE: [503, "SERVICE_UNAVAILABLE"],
  UPDATE_TOO_LARGE: [413, "BAD_REQUEST"],
  UPDATE_UNDER_WAY: [409, "CONFLICT"],
  USER_NOT_CHANGEABLE: [400, "NOT_ALLOWED"],
  USER_NOT_FOUND: [404, "USER_NOT_FOUND"],
  USER_PASSWORD_WRONG: [400, "ERROR_PWD_NOT_MATCH"],
};

/** Texts of this API that its clients' users know. */
const TEXTS: Partial<Record<ErrorCode, string>> = {
  CLIENT_NOT_FOUND: "Client ID not found",
};

const CODE_OF_STATUS: Readonly<Record<number, string>> = {
  400: "BAD_REQUEST",
  404: "NOT_FOUND",
  409: "ALREADY_EXISTS",
};

const MAX_MESSAGE_CHARS = 1_000;

/**
 * What this API answers for anything thrown. A caller's mistake carries its message; a defect shows
 * nothing of the inside (fastify would send its text), and the caller of this function logs it.
 */
export function apiErrorOf(err: unknown): ApiError {
  if (err instanceof ApiError) return err;
  if (!isGatewayError(err)) return new ApiError(500, "INTERNAL_ERROR", "internal error");
  const message = (TEXTS[err.code] ?? err.message).slice(0, MAX_MESSAGE_CHARS).toWellFormed();
  const [status, code] = ROWS[err.code] ?? [err.status, CODE_OF_STATUS[err.status]];
  if (code === undefined) return new ApiError(500, "INTERNAL_ERROR", "internal error");
  return new ApiError(status, code, message);
}
