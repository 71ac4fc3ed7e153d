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
