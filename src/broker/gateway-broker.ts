import type { Duplex } from "node:stream";
import { Aedes } from "aedes";
import type { Log } from "../log/index.ts";
import { isQoS, type Message, type Peer, topic, topicFilter } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import { ClientFace } from "./client-face.ts";
import type { Connect } from "./codec/index.ts";
import type { Connection } from "./connection.ts";
import { Engine } from "./engine.ts";
import type { EngineStore } from "./engine-store.ts";
import type { ConnectionEvent, Hooks, Verdict } from "./hooks.ts";
import type { Limits } from "./limits.ts";
import type { Authenticator, Authorizer } from "./ports.ts";
import type { Publication } from "./publication.ts";
import type { Session } from "./session.ts";

/** What the broker is built from; `persistence` is aedes's own, for those who use it beside the engine. */
export interface GatewayBrokerParts {
  readonly log: Log;
  readonly clock: Clock;
  readonly store: EngineStore;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly limits: Limits;
  readonly persistence?: object;
}

type AnyCallback = (...args: unknown[]) => void;
type Deliver = Parameters<Aedes["subscribe"]>[1];

const HOOKS = [
  "preConnect",
  "authenticate",
  "authorizePublish",
  "authorizeSubscribe",
  "authorizeForward",
  "published",
] as const;

type HookName = (typeof HOOKS)[number];

const LOCAL_PEER: Peer = { listener: "aedes", address: "", tcpPort: 0, certificate: null };

/**
 * aedes 1.2.0 with our protocol engine in place of its client: hooks, events and in-process
 * subscriptions work as its documentation says, and cost nothing while nobody uses them. Messages
 * do not pass through its emitter and persistence.
 */
export class GatewayBroker extends Aedes {
  readonly engine: Engine;
  readonly #defaults: Record<HookName, unknown>;
  readonly #faces = new WeakMap<Connection, ClientFace>();
  readonly #handlers = new Map<Deliver, Map<string, () => void>>();

  constructor(parts: GatewayBrokerParts) {
    super(parts.persistence === undefined ? {} : { persistence: parts.persistence });
    this.#defaults = Object.fromEntries(
      HOOKS.map((name) => [name, Reflect.get(this, name)]),
    ) as Record<HookName, unknown>;
    this.engine = new Engine({ ...parts, hooks: this.#hooks() });
    Reflect.set(this, "handle", (stream: Duplex, request?: { readonly peer?: Peer }) =>
      this.#face(this.engine.accept(stream, request?.peer ?? LOCAL_PEER)),
    );
  }

  /** Reads the store and accepts connections; sets up aedes's persistence when one was given. */
  override async listen(): Promise<void> {
    Object.assign(this, { connectedClients: 0, closed: false });
    await this.engine.start();
  }

  override publish(packet: object, client?: unknown, callback?: unknown): void {
    const done = pickCallback(client, callback);
    let message: Message;
    try {
      message = messageOf(packet);
    } catch (err) {
      done(err instanceof Error ? err : new Error(String(err)));
      return;
    }
    this.engine.counters.received++;
    this.engine.pipeline.publish(message).then(
      () => done(),
      (err: unknown) => done(err instanceof Error ? err : new Error(String(err))),
    );
  }

  override subscribe(filter: string, deliver: Deliver, callback?: () => void): void {
    const stop = this.engine.addHandler(topicFilter(filter), (message) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      Reflect.apply(deliver, this, [packetOf(message), resolve]);
      return message.qos > 0 ? promise : undefined;
    });
    const known = this.#handlers.get(deliver) ?? new Map<string, () => void>();
    known.get(filter)?.();
    known.set(filter, stop);
    this.#handlers.set(deliver, known);
    setImmediate(() => callback?.());
  }

  override unsubscribe(filter: string, deliver: Deliver, callback?: () => void): void {
    const known = this.#handlers.get(deliver);
    known?.get(filter)?.();
    known?.delete(filter);
    if (known?.size === 0) this.#handlers.delete(deliver);
    setImmediate(() => callback?.());
  }

  override close(callback?: () => void): void {
    if (this.closed) {
      callback?.();
      return;
    }
    Reflect.set(this, "closed", true);
    this.engine.stop().then(
      () => {
        this.emit("closed");
        callback?.();
      },
      (err: unknown) => {
        this.emit("error", err);
        callback?.();
      },
    );
  }

  #face(connection: Connection): ClientFace {
    let face = this.#faces.get(connection);
    if (face === undefined) {
      face = new ClientFace(this.engine, connection);
      this.#faces.set(connection, face);
    }
    return face;
  }

  /** The hook somebody has put in place of aedes's default, if any. */
  #custom(name: HookName): AnyCallback | null {
    const hook: unknown = Reflect.get(this, name);
    return hook === this.#defaults[name] || typeof hook !== "function"
      ? null
      : (hook.bind(this) as AnyCallback);
  }

  #hooks(): Hooks {
    const broker = this;
    const asks =
      (hook: AnyCallback, ...args: unknown[]) =>
      (done: Verdict): void => {
        hook(...args, (err: unknown, isSuccess: unknown = true) => {
          if (err instanceof Error) done(err);
          else
            done(
              isSuccess === true || typeof isSuccess === "object"
                ? refused(isSuccess)
                : refused(null),
            );
        });
      };
    return {
      get preConnect() {
        const hook = broker.#custom("preConnect");
        if (hook === null) return null;
        return (connection: Connection, connect: Connect, done: Verdict) =>
          asks(hook, broker.#face(connection), connectOf(connection, connect))(done);
      },
      get authenticate() {
        const hook = broker.#custom("authenticate");
        if (hook === null) return null;
        return (connection: Connection, { username, password }: Connect, done: Verdict) =>
          asks(hook, broker.#face(connection), username ?? undefined, password ?? undefined)(done);
      },
      get authorizePublish() {
        const hook = broker.#custom("authorizePublish");
        if (hook === null) return null;
        return (connection: Connection, pub: Publication, done: Verdict) =>
          hook(broker.#face(connection), packetOf(pub.keep()), (err: unknown) =>
            done(err instanceof Error ? err : null),
          );
      },
      get authorizeSubscribe() {
        const hook = broker.#custom("authorizeSubscribe");
        if (hook === null) return null;
        return (connection: Connection, filter: string, qos: number, done: Verdict) =>
          asks(hook, broker.#face(connection), { topic: filter, qos })(done);
      },
      get authorizeForward() {
        const hook = broker.#custom("authorizeForward");
        if (hook === null) return null;
        return (session: Session, pub: Publication): boolean => {
          const connection = broker.engine.connectionOf(session);
          if (connection === null) return true;
          const answer: unknown = Reflect.apply(hook, broker, [
            broker.#face(connection),
            packetOf(pub.keep()),
          ]);
          return answer !== null && answer !== undefined && answer !== false;
        };
      },
      get published() {
        const hook = broker.#custom("published");
        if (hook === null && !this.listens("publish")) return null;
        return (pub: Publication, connection: Connection | null) => {
          const packet = packetOf(pub.keep());
          const face = connection === null ? null : broker.#face(connection);
          hook?.(packet, face, () => undefined);
          broker.emit("publish", packet, face);
        };
      },
      listens: (event) => broker.listenerCount(event) > 0,
      emit(event: ConnectionEvent, connection, detail) {
        const face = broker.#face(connection);
        if (event === "subscribe" || event === "unsubscribe" || event === "connackSent") {
          broker.emit(event, detail, face);
        } else if (event === "ping" || event === "ack") {
          broker.emit(event, { cmd: event === "ping" ? "pingreq" : "puback" }, face);
        } else {
          broker.emit(event, face, detail);
        }
      },
    };
  }
}

function refused(verdict: unknown): Error | null {
  return verdict === null || verdict === false ? new Error("refused") : null;
}

function pickCallback(client: unknown, callback: unknown): (err?: Error) => void {
  if (typeof client === "function") return client as (err?: Error) => void;
  return typeof callback === "function" ? (callback as (err?: Error) => void) : () => undefined;
}

/** A message as mqtt-packet writes it. */
function packetOf(message: Message): object {
  const { topic: name, payload, qos, retain, properties, origin } = message;
  return {
    cmd: "publish",
    topic: name,
    payload,
    qos,
    retain,
    dup: false,
    ...(origin.kind === "client" ? { clientId: origin.clientId } : {}),
    ...(properties === undefined ? {} : { properties }),
  };
}

function connectOf(connection: Connection, connect: Connect): object {
  return {
    cmd: "connect",
    protocolId: connect.version === 3 ? "MQIsdp" : "MQTT",
    protocolVersion: connect.version,
    clean: connect.cleanStart,
    clientId: connection.clientId,
    keepalive: connect.keepAliveS,
    username: connect.username ?? undefined,
    password: connect.password ?? undefined,
    will: connect.will ?? undefined,
    properties: connect.properties,
  };
}

/** @throws GatewayError MQTT_TOPIC_INVALID; TypeError for a packet that is none. */
function messageOf(packet: object): Message {
  const read = (name: string): unknown => Reflect.get(packet, name);
  const name = read("topic");
  const payload = read("payload") ?? "";
  const qos = read("qos") ?? 0;
  if (typeof name !== "string" || !isQoS(qos)) throw new TypeError("not a PUBLISH packet");
  if (typeof payload !== "string" && !Buffer.isBuffer(payload)) {
    throw new TypeError("payload is neither text nor Buffer");
  }
  return {
    topic: topic(name),
    payload: typeof payload === "string" ? Buffer.from(payload) : payload,
    qos,
    retain: read("retain") === true,
    origin: { kind: "system" },
  };
}
