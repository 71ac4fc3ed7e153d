import type { Duplex } from "node:stream";
import { Aedes } from "aedes";
import type { Log } from "../log/index.ts";
import { type EngineStore, type Message, type Peer, topicFilter } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import { aedesHooks } from "./aedes-hooks.ts";
import { messageOf, packetOf } from "./aedes-packet.ts";
import { ClientFace } from "./client-face.ts";
import { clientsByName } from "./clients-view.ts";
import type { Connection } from "./connection.ts";
import { Engine, type EnginePorts } from "./engine.ts";
import type { Emitter } from "./exchange.ts";
import type { Limits } from "./limits.ts";
import type { Authenticator, Authorizer } from "./ports.ts";

/** What the broker is built from. */
export interface GatewayBrokerParts extends EnginePorts {
  readonly log: Log;
  readonly clock: Clock;
  readonly store: EngineStore;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly limits: Limits;
  /** aedes's own persistence, for those who use it beside the engine: it is set up at the start. */
  readonly persistence?: object;
  /** Joins this broker with others; it is closed with the broker. */
  readonly emitter?: Emitter;
}

type Deliver = Parameters<Aedes["subscribe"]>[1];

const LOCAL_PEER: Peer = { listener: "aedes", address: "", tcpPort: 0, certificate: null };

/**
 * aedes 1.2.0 with our protocol engine in place of its client: hooks, events, `clients` and
 * in-process subscriptions work as its documentation says, and cost nothing while nobody uses them.
 * Messages pass through an emitter only when one was given, and through no persistence.
 */
export class GatewayBroker extends Aedes {
  readonly engine: Engine;
  /** The connected clients by client id, without a prototype. */
  declare readonly clients: Readonly<Record<string, ClientFace>>;
  readonly #persistence: object | null;
  readonly #faces = new WeakMap<Connection, ClientFace>();
  readonly #handlers = new Map<Deliver, Map<string, () => void>>();

  constructor(parts: GatewayBrokerParts) {
    const { persistence, emitter } = parts;
    super({
      ...(persistence === undefined ? {} : { persistence }),
      ...(emitter === undefined ? {} : { mq: emitter }),
    });
    this.#persistence = persistence ?? null;
    const hooks = aedesHooks({
      broker: this,
      faceOf: (connection) => this.#face(connection),
      connectionOf: (session) => this.engine.connectionOf(session),
    });
    this.engine = new Engine({ ...parts, hooks, brokerId: this.id });
    const { engine } = this;
    Object.defineProperties(this, {
      connectedClients: { enumerable: true, get: () => engine.readyCount },
      clients: {
        enumerable: true,
        value: clientsByName(engine, (connection) => this.#face(connection)),
      },
      handle: {
        enumerable: true,
        value: (stream: Duplex, request?: { readonly peer?: Peer }) =>
          this.#face(engine.accept(stream, request?.peer ?? LOCAL_PEER), request),
      },
      ...(engine.exchange === null ? {} : { brokers: { value: engine.exchange.brokers } }),
    });
  }

  /** Reads the store, sets up aedes's persistence when one was given, and accepts connections. */
  override async listen(): Promise<void> {
    Object.assign(this, { closed: false });
    if (this.#persistence !== null) {
      Object.assign(this, { persistence: this.#persistence });
      const setup: unknown = Reflect.get(this.#persistence, "setup");
      if (typeof setup === "function") await Reflect.apply(setup, this.#persistence, [this]);
    }
    await this.engine.start();
  }

  override publish(packet: object, client?: unknown, callback?: unknown): void {
    const done = pickCallback(client, callback);
    let message: Message;
    try {
      message = messageOf(packet);
    } catch (err) {
      done(toError(err));
      return;
    }
    this.engine.counters.publishedHere++;
    this.engine.pipeline.publish(message).then(
      () => done(),
      (err: unknown) => done(toError(err)),
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

  #face(connection: Connection, request?: object): ClientFace {
    let face = this.#faces.get(connection);
    if (face === undefined) {
      face = new ClientFace(this, connection, request);
      this.#faces.set(connection, face);
    }
    return face;
  }
}

function pickCallback(client: unknown, callback: unknown): (err?: Error) => void {
  if (typeof client === "function") return client as (err?: Error) => void;
  return typeof callback === "function" ? (callback as (err?: Error) => void) : () => undefined;
}

function toError(err: unknown): Error {
  return err instanceof Error ? err : new Error(String(err));
}
