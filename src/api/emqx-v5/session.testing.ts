import type { FastifyInstance } from "fastify";

/** One call below `/api/v5`, logged in. */
export type Session = (
  method: "GET" | "POST" | "PUT" | "DELETE",
  path: string,
  body?: object,
) => Promise<{ status: number; body: unknown }>;

/** Logs a user in, the way dashboards do. */
export async function logIn(
  app: FastifyInstance,
  username: string,
  password: string,
): Promise<Session> {
  const payload = { username, password };
  const reply = await app.inject({ method: "POST", url: "/api/v5/login", payload });
  if (reply.statusCode !== 200) throw new Error(`login of ${username}: ${reply.body}`);
  return sessionWith(app, `Bearer ${reply.json().token}`);
}

/** Calls with one `Authorization` header. */
export function sessionWith(app: FastifyInstance, authorization: string): Session {
  return async (method, path, body) => {
    const { statusCode: status, body: text } = await app.inject({
      method,
      url: `/api/v5${path}`,
      headers: { authorization },
      ...(body === undefined ? {} : { payload: body }),
    });
    return { status, body: text === "" ? null : (JSON.parse(text) as unknown) };
  };
}
