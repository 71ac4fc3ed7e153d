/** NanoMQ's result codes of a failed login (reference §1.4). */
export const LOGIN_FAULT = {
  wrongCredentials: 103,
  noCredentials: 104,
  tokenExpired: 116,
} as const;

export type LoginFault = (typeof LOGIN_FAULT)[keyof typeof LOGIN_FAULT];

/** Who may come in: null, or why not. */
export type Verdict = LoginFault | null;

/** The credentials of one Authorization scheme (RFC 9110 §11.4), or null when it is another or empty. */
export function credentialsOf(header: string | undefined, scheme: string): string | null {
  const [name = "", credentials = ""] = (header ?? "").trim().split(/\s+/);
  return name.toLowerCase() === scheme && credentials !== "" ? credentials : null;
}

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** Name and secret of a Basic value (RFC 7617 §2); null when it is none. */
export function basicPairOf(encoded: string): { name: string; secret: string } | null {
  const pair = BASE64.test(encoded) ? Buffer.from(encoded, "base64").toString("utf8") : "";
  const colon = pair.indexOf(":");
  return colon < 0 ? null : { name: pair.slice(0, colon), secret: pair.slice(colon + 1) };
}
