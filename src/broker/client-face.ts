import { EventEmitter } from "node:events";
import { topic as parseTopic, type QoS, topicFilter } from "../mqtt/index.ts";
import { REASON } from "./codec/index.ts";
import type { Connection } from "./connection.ts";
import type { Engine } from "./engine.ts";

type Done = (err?: Error) => void;

interface WireSubscription {
  readonly topic: string;
  readonly qos: QoS;
}

/**
 * A connection as aedes's hooks and events show it: `Client` of aedes 1.2.0. Made only for those
 * who ask for it.
 */
export class ClientFace extends EventEmitter {
  readonly #engine: Engine;
  readonly #connection: Connection;

  constructor(engine: Engine, connection: Connection) {
    super();
    this.#engine = engine;
    this.#connection = connection;
  }

  get id(): string {
    return this.#connection.clientId;
  }

  get clean(): boolean {
    return this.#connection.connect?.cleanStart ?? true;
  }

  get version(): number {
    return this.#connection.connect?.version ?? 0;
  }

  get conn() {
    return this.#connection.stream;
  }

  get connecting(): boolean {
    return this.#connection.state === "connecting";
  }

  get connected(): boolean {
    return this.#connection.state === "ready";
  }

  get closed(): boolean {
    return this.#connection.state === "closed";
  }

  /** Sends a message to this client alone. */
  publish(
    message: { topic: string; payload: Buffer | string; qos?: QoS; retain?: boolean },
    done?: Done,
  ): void {
    const { session } = this.#connection;
    const { pipeline, sessionContext } = this.#engine;
    if (session === null) {
      done?.(new Error("client is not connected"));
      return;
    }
    const pub = pipeline.acquire();
    const { topic, payload, qos = 0, retain = false } = message;
    pub.load({
      topic: parseTopic(topic),
      payload: typeof payload === "string" ? Buffer.from(payload) : payload,
      qos,
      retain,
      origin: { kind: "system" },
      publishedMs: Date.now(),
      expiresAtMs: null,
    });
    sessionContext.outgoing.begin(pub);
    session.deliver(pub, qos, retain, [], null, -1);
    if (pub.ticket === null) {
      done?.();
      return;
    }
    this.#engine.committer.wait(pub.ticket, false);
    pub.ticket.seal(() => done?.());
  }

  subscribe(wanted: WireSubscription | readonly WireSubscription[], done?: Done): void {
    const { session } = this.#connection;
    const list: readonly WireSubscription[] = [wanted].flat();
    if (session !== null) {
      for (const { topic, qos } of list) {
        this.#engine.subscribing.subscribeOther(session, topicFilter(topic), qos);
      }
    }
    this.#engine.committer.after(false, () => done?.());
  }

  unsubscribe(wanted: string | readonly string[], done?: Done): void {
    const { session } = this.#connection;
    const list: readonly string[] = [wanted].flat();
    if (session !== null) {
      for (const filter of list) this.#engine.lifecycle.unsubscribe(session, topicFilter(filter));
    }
    this.#engine.committer.after(false, () => done?.());
  }

  /** Nothing to do: a queue leaves by itself. */
  emptyOutgoingQueue(done?: Done): void {
    done?.();
  }

  close(done?: () => void): void {
    this.#connection.end(REASON.administrativeAction, "closed by the server");
    done?.();
  }
}
