import type { EventEmitter } from "node:events";
import { isGatewayError } from "../errors/index.ts";
import { type StoredMessage, topicFilter } from "../mqtt/index.ts";
import { changeOf, connectOf, grantOf, packetOf } from "./aedes-packet.ts";
import type { ClientFace } from "./client-face.ts";
import type { Connect } from "./codec/index.ts";
import type { Connection } from "./connection.ts";
import type { Grant, Hooks, Verdict } from "./hooks.ts";
import type { Session } from "./session.ts";

type Hook = (...args: unknown[]) => unknown;

const NAMES = [
  "preConnect",
  "authenticate",
  "authorizePublish",
  "authorizeSubscribe",
  "authorizeForward",
  "published",
] as const;

type HookName = (typeof NAMES)[number];

/** What the hooks are read from and shown. */
export interface HookOwner {
  /** The aedes instance; hooks are its properties, and events are emitted on it. */
  readonly broker: EventEmitter;
  readonly faceOf: (connection: Connection) => ClientFace;
  readonly connectionOf: (session: Session) => Connection | null;
}

/** aedes's hooks and events for the engine; what the instance has when this is called are the defaults. */
export function aedesHooks({ broker, faceOf, connectionOf }: HookOwner): Hooks {
  const defaults = new Map<HookName, unknown>(
    NAMES.map((name) => [name, Reflect.get(broker, name)]),
  );

  /** The hook somebody has put in place of aedes's default, if any. */
  function custom(name: HookName): Hook | null {
    const hook: unknown = Reflect.get(broker, name);
    if (hook === defaults.get(name) || typeof hook !== "function") return null;
    return (...args) => Reflect.apply(hook, broker, args);
  }

  return {
    get preConnect() {
      const hook = custom("preConnect");
      return (
        hook &&
        ((connection: Connection, connect: Connect, done: Verdict) =>
          void hook(faceOf(connection), connectOf(connection, connect), verdict(done)))
      );
    },
    get authenticate() {
      const hook = custom("authenticate");
      return (
        hook &&
        ((connection: Connection, { username, password }: Connect, done: Verdict) =>
          void hook(
            faceOf(connection),
            username ?? undefined,
            password ?? undefined,
            verdict(done),
          ))
      );
    },
    get authorizePublish(): Hooks["authorizePublish"] {
      const hook = custom("authorizePublish");
      if (hook === null) return null;
      return (connection, message, done) => {
        const packet = packetOf(message);
        hook(connection && faceOf(connection), packet, (err: unknown) => {
          if (err instanceof Error) {
            done(err, null);
            return;
          }
          try {
            done(null, changeOf(message, packet));
          } catch (fault) {
            done(fault instanceof Error ? fault : new Error(String(fault)), null);
          }
        });
      };
    },
    get authorizeSubscribe(): Hooks["authorizeSubscribe"] {
      const hook = custom("authorizeSubscribe");
      if (hook === null) return null;
      return (connection, { filter, qos }, done) => {
        hook(faceOf(connection), { topic: filter, qos }, (err: unknown, granted: unknown) => {
          done(err instanceof Error ? null : toGrant(granted));
        });
      };
    },
    get authorizeForward(): Hooks["authorizeForward"] {
      const hook = custom("authorizeForward");
      if (hook === null) return null;
      return (session, message) => {
        const connection = connectionOf(session);
        if (connection === null) return true;
        const answer = hook(faceOf(connection), packetOf(message));
        if (typeof answer !== "object" || answer === null) return answer === true;
        return changeOf(message, answer) ?? true;
      };
    },
    get published(): Hooks["published"] {
      const hook = custom("published");
      if (hook === null && broker.listenerCount("publish") === 0) return null;
      return (message: StoredMessage, from: Session | null) => {
        const packet = packetOf(message);
        const connection = from && connectionOf(from);
        const face = connection && faceOf(connection);
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        if (hook === null) resolve();
        else hook(packet, face, (err: unknown) => (err instanceof Error ? reject(err) : resolve()));
        broker.emit("publish", packet, face);
        return promise;
      };
    },
    listens: (event) => broker.listenerCount(event) > 0,
    emit(event, connection, detail) {
      const face = faceOf(connection);
      if (DETAIL_FIRST.has(event)) broker.emit(event, detail, face);
      else broker.emit(event, face, detail);
    },
  };
}

/** Events whose listeners get the packet or list before the client. */
const DETAIL_FIRST: ReadonlySet<string> = new Set([
  "subscribe",
  "unsubscribe",
  "connackSent",
  "ping",
  "ack",
]);

/** aedes's `callback(error, successful)`. */
function verdict(done: Verdict) {
  return (err: unknown, isSuccess: unknown = true): void => {
    if (err instanceof Error) done(err);
    else done(isSuccess === true ? null : new Error("refused"));
  };
}

function toGrant(granted: unknown): Grant | null {
  const grant = grantOf(granted);
  if (grant === null) return null;
  try {
    return { filter: topicFilter(grant.topic), qos: grant.qos };
  } catch (err) {
    if (!isGatewayError(err)) throw err;
    return null;
  }
}
