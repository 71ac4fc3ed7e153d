import { EventEmitter } from "node:events";
import { isQoS, type QoS, type TopicFilter, topicFilter } from "../mqtt/index.ts";
import { messageOf } from "./aedes-packet.ts";
import { REASON } from "./codec/index.ts";
import type { Connection } from "./connection.ts";
import type { GatewayBroker } from "./gateway-broker.ts";

type Done = (err?: Error) => void;

/**
 * A connection as aedes's hooks and events show it: `Client` of aedes 1.2.0. Made only for those
 * who ask for it.
 */
export class ClientFace extends EventEmitter {
  readonly broker: GatewayBroker;
  /** What was given to `handle` with the stream. */
  readonly req: object | undefined;
  readonly #connection: Connection;

  constructor(broker: GatewayBroker, connection: Connection, request: object | undefined) {
    super();
    this.broker = broker;
    this.req = request;
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
  publish(packet: object, done?: Done): void {
    const { session } = this.#connection;
    const { pipeline, sessionContext, committer } = this.broker.engine;
    if (session === null) {
      done?.(new Error("client is not connected"));
      return;
    }
    const pub = pipeline.acquire();
    try {
      pub.load({ ...messageOf(packet), publishedMs: Date.now(), expiresAtMs: null });
    } catch (err) {
      done?.(err instanceof Error ? err : new Error(String(err)));
      return;
    }
    sessionContext.outgoing.begin(pub);
    session.deliver(pub, pub.qos, pub.retain, [], null, -1);
    sessionContext.outgoing.end();
    if (pub.ticket === null) {
      done?.();
      return;
    }
    committer.wait(pub.ticket, false);
    pub.ticket.seal(() => done?.());
  }

  /** `wanted` is one subscription, a list, or a packet with `subscriptions`. */
  subscribe(wanted: unknown, done?: Done): void {
    const { session } = this.#connection;
    const { subscribing, committer } = this.broker.engine;
    try {
      for (const one of subscriptionsOf(wanted)) {
        if (session !== null) subscribing.subscribeOther(session, one);
      }
    } catch (err) {
      done?.(err instanceof Error ? err : new Error(String(err)));
      return;
    }
    committer.after(false, () => done?.());
  }

  /** `wanted` is one filter, a list, or a packet with `unsubscriptions`. */
  unsubscribe(wanted: unknown, done?: Done): void {
    const { session } = this.#connection;
    const { lifecycle, committer } = this.broker.engine;
    try {
      for (const filter of filtersOf(wanted)) {
        if (session !== null) lifecycle.unsubscribe(session, filter);
      }
    } catch (err) {
      done?.(err instanceof Error ? err : new Error(String(err)));
      return;
    }
    committer.after(false, () => done?.());
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

/** @throws GatewayError MQTT_TOPIC_INVALID; TypeError. */
function subscriptionsOf(wanted: unknown): readonly { filter: TopicFilter; qos: QoS }[] {
  return listOf(wanted, "subscriptions").map((item) => {
    const name: unknown = Object(item).topic;
    const qos: unknown = Object(item).qos ?? 0;
    if (typeof name !== "string" || !isQoS(qos)) throw new TypeError("not a subscription");
    return { filter: topicFilter(name), qos };
  });
}

/** @throws GatewayError MQTT_TOPIC_INVALID; TypeError. */
function filtersOf(wanted: unknown): readonly TopicFilter[] {
  return listOf(wanted, "unsubscriptions").map((item) => {
    const name: unknown = typeof item === "string" ? item : Object(item).topic;
    if (typeof name !== "string") throw new TypeError("not a filter");
    return topicFilter(name);
  });
}

function listOf(wanted: unknown, member: string): readonly unknown[] {
  const list: unknown = Object(wanted)[member] ?? wanted;
  return Array.isArray(list) ? list : [list];
}
