import type { ServerUrl } from "../config/index.ts";
import { reasonOf } from "../errors/index.ts";

/** MQTT 3.1.1 §3.2.2.3. */
const CONNECT_RETURN_CODE: Readonly<Record<number, string>> = {
  1: "unacceptable protocol version",
  2: "client identifier rejected",
  3: "server unavailable",
  4: "bad user name or password",
  5: "not authorised",
};

/** MQTT 5.0 §2.4, the failures. */
const REASON_CODE: Readonly<Record<number, string>> = {
  128: "unspecified error",
  129: "malformed packet",
  130: "protocol error",
  131: "implementation specific error",
  132: "unsupported protocol version",
  133: "client identifier not valid",
  134: "bad user name or password",
  135: "not authorised",
  136: "server unavailable",
  137: "server busy",
  138: "banned",
  139: "server shutting down",
  140: "bad authentication method",
  141: "keep alive timeout",
  142: "session taken over",
  143: "topic filter invalid",
  144: "topic name invalid",
  145: "packet identifier in use",
  146: "packet identifier not found",
  147: "receive maximum exceeded",
  148: "topic alias invalid",
  149: "packet too large",
  150: "message rate too high",
  151: "quota exceeded",
  152: "administrative action",
  153: "payload format invalid",
  154: "retain not supported",
  155: "QoS not supported",
  156: "use another server",
  157: "server moved",
  158: "shared subscriptions not supported",
  159: "connection rate exceeded",
  160: "maximum connect time",
  161: "subscription identifiers not supported",
  162: "wildcard subscriptions not supported",
};

const SOCKET_ERROR: Readonly<Record<string, (at: string, host: string) => string>> = {
  ECONNREFUSED: (at) => `connection refused by ${at}`,
  ECONNRESET: (at) => `connection reset by ${at}`,
  EPIPE: (at) => `connection closed by ${at}`,
  ETIMEDOUT: (at) => `no answer from ${at}`,
  EHOSTUNREACH: (at) => `no route to ${at}`,
  ENETUNREACH: (at) => `no network towards ${at}`,
  ENETDOWN: () => "the network is down",
  EADDRNOTAVAIL: (at) => `no local address towards ${at}`,
  ENOTFOUND: (_, host) => `host name ${host} is unknown`,
  EAI_AGAIN: (_, host) => `no DNS answer for ${host}`,
};

const NO_AUTHORITY = "is not signed by an authority known here, see tls.ca_file";

/** What Node finds wrong with the server's certificate. */
const CERTIFICATE_ERROR: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "has expired, or the clock is wrong",
  CERT_NOT_YET_VALID: "is not valid yet, or the clock is wrong",
  CERT_REVOKED: "is revoked",
  CERT_SIGNATURE_FAILURE: NO_AUTHORITY,
  DEPTH_ZERO_SELF_SIGNED_CERT: NO_AUTHORITY,
  ERR_TLS_CERT_ALTNAME_INVALID: "is for another name, see server and tls.server_name",
  SELF_SIGNED_CERT_IN_CHAIN: NO_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT: NO_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NO_AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NO_AUTHORITY,
};

/** The server's alerts about a client certificate, or about none (RFC 8446 §6.2). */
const CLIENT_ALERT = /alert (certificate|bad certificate|unsupported certificate|unknown ca)/i;

/** TLS files of ours that cannot be used; the message names the key. */
export class TlsFileError extends Error {}

/** Whether certificates or keys are the trouble, or the clock they are judged by. */
export function isCertificateTrouble(err: unknown): boolean {
  return (
    err instanceof TlsFileError ||
    Object.hasOwn(CERTIFICATE_ERROR, codeOf(err)) ||
    CLIENT_ALERT.test(reasonOf(err))
  );
}

/** `host:port`, an IPv6 address in brackets. */
export function addressOf(server: ServerUrl): string {
  const host = server.host.includes(":") ? `[${server.host}]` : server.host;
  return `${host}:${server.tcpPort}`;
}

/** Why a connection could not be made or broke, for people. */
export function socketErrorInWords(err: unknown, server: ServerUrl): string {
  const say = SOCKET_ERROR[codeOf(err)];
  if (say !== undefined) return say(addressOf(server), server.host);
  const certificate = certificateErrorInWords(err, server);
  if (certificate !== null) return certificate;
  const http = /^Unexpected server response: (\d+)$/.exec(reasonOf(err))?.[1];
  if (http !== undefined) return `WebSocket refused by ${addressOf(server)} with HTTP ${http}`;
  return printable(tlsReasonOf(err) ?? reasonOf(err)) || "connection failed";
}

function certificateErrorInWords(err: unknown, server: ServerUrl): string | null {
  const detail = printable(tlsReasonOf(err) ?? reasonOf(err));
  const at = addressOf(server);
  const wrong = Object.hasOwn(CERTIFICATE_ERROR, codeOf(err)) && CERTIFICATE_ERROR[codeOf(err)];
  if (typeof wrong === "string") return `the certificate of ${at} ${wrong} (${detail})`;
  if (!CLIENT_ALERT.test(reasonOf(err))) return null;
  return `${at} does not accept our certificate, see tls.cert_file (${detail})`;
}

/** A refused CONNECT: `not authorised (CONNACK 5)`, with the server's own words behind it. */
export function connackInWords(code: number, reasonString: unknown): string {
  const words = CONNECT_RETURN_CODE[code] ?? REASON_CODE[code] ?? "connection refused";
  return `${words} (CONNACK ${shown(code)})${quoted(reasonString)}`;
}

/** A DISCONNECT from the server (MQTT 5.0 §3.14). */
export function disconnectInWords(code: number, reasonString: unknown): string {
  const words = REASON_CODE[code] ?? "normal disconnection";
  return `disconnected by the server: ${words} (${shown(code)})${quoted(reasonString)}`;
}

/** A reason code of SUBACK, PUBACK or PUBREC. */
export function reasonCodeInWords(code: number): string {
  const words = REASON_CODE[code] ?? "refused";
  return `${words} (${shown(code)})`;
}

/** Codes of MQTT 3.1.1 in decimal, those of 5.0 in hexadecimal, as the specifications print them. */
function shown(code: number): string {
  return code < 0x80 ? String(code) : `0x${code.toString(16)}`;
}

function quoted(reasonString: unknown): string {
  return typeof reasonString === "string" && reasonString !== ""
    ? `: "${printable(reasonString)}"`
    : "";
}

/** Text from the network, fit for one line of a log. */
function printable(text: string): string {
  return text
    .replace(/\p{C}+/gu, " ")
    .trim()
    .slice(0, 200);
}

/** OpenSSL's reason without the numbers and file names around it. */
function tlsReasonOf(err: unknown): string | null {
  return err instanceof Error && "reason" in err && typeof err.reason === "string"
    ? err.reason
    : null;
}

function codeOf(err: unknown): string {
  return err instanceof Error && "code" in err && typeof err.code === "string" ? err.code : "";
}
