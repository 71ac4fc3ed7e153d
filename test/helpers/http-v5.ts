/** An answer of `/api/v5`, its body parsed; null for none. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export type Api = (method: string, path: string, body?: unknown) => Promise<Answer>;

/** Logs in on a gateway with the tests' administrator; `path` is below `/api/v5`. */
export async function login(
  tcpPort: number,
  user: { readonly username: string; readonly password: string } = {
    username: "admin",
    password: "public",
  },
): Promise<Api> {
  const root = `http://127.0.0.1:${tcpPort}/api/v5`;
  const call = async (method: string, path: string, body: unknown, token: string | null) => {
    const response = await fetch(`${root}${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === "" ? null : JSON.parse(text) };
  };
  const { status, body } = await call("POST", "/login", user, null);
  const token = typeof body === "object" && body !== null && "token" in body ? body.token : null;
  if (typeof token !== "string") throw new Error(`the login was answered with ${status}`);
  return (method, path, sent) => call(method, path, sent, token);
}
