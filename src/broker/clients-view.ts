import type { ClientFace } from "./client-face.ts";
import type { Connection } from "./connection.ts";
import type { Engine } from "./engine.ts";

/**
 * aedes's `clients`: the connected clients by client id, without a prototype. Read from the sessions
 * when somebody looks, so that it costs nothing until then.
 */
export function clientsByName(
  engine: Engine,
  faceOf: (connection: Connection) => ClientFace,
): Readonly<Record<string, ClientFace>> {
  const { sessions } = engine.lifecycle;

  function find(name: string | symbol): ClientFace | undefined {
    if (typeof name !== "string") return undefined;
    const connection = engine.connectionOf(sessions.get(name));
    return connection?.state === "ready" ? faceOf(connection) : undefined;
  }

  const empty: Record<string, ClientFace> = Object.create(null);
  return new Proxy(empty, {
    get: (_, name) => find(name),
    has: (_, name) => find(name) !== undefined,
    set: () => false,
    deleteProperty: () => false,
    ownKeys: () => [...sessions.keys()].filter((name) => find(name) !== undefined),
    getOwnPropertyDescriptor(_, name) {
      const value = find(name);
      if (value === undefined) return undefined;
      return { value, enumerable: true, configurable: true, writable: false };
    },
  });
}
