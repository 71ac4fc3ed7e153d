import type { ClientEvent, Loss, Observer, PassingMessage, QoS } from "../mqtt/index.ts";
import type { Connection } from "./connection.ts";

/** Where the engine looks for observers: `observer` is null while nobody watches. */
export class Watch {
  observer: Required<Observer> | null = null;
  readonly #all = new Set<Observer>();

  /** Adds an observer; the returned function removes it again, and may be called twice. */
  add(observer: Observer): () => void {
    this.#all.add(observer);
    this.#renew();
    return () => {
      this.#all.delete(observer);
      this.#renew();
    };
  }

  #renew(): void {
    this.observer = this.#all.size === 0 ? null : new Fan([...this.#all]);
  }
}

/** Several observers as one. */
class Fan implements Required<Observer> {
  readonly #observers: readonly Observer[];

  constructor(observers: readonly Observer[]) {
    this.#observers = observers;
  }

  published(message: PassingMessage, from: string | null): void {
    for (const observer of this.#observers) observer.published?.(message, from);
  }

  sent(clientId: string, message: PassingMessage, qos: QoS, seq: number): void {
    for (const observer of this.#observers) observer.sent?.(clientId, message, qos, seq);
  }

  acked(clientId: string, seq: number): void {
    for (const observer of this.#observers) observer.acked?.(clientId, seq);
  }

  dropped(clientId: string | null, topic: string | null, loss: Loss): void {
    for (const observer of this.#observers) observer.dropped?.(clientId, topic, loss);
  }

  client(event: ClientEvent): void {
    for (const observer of this.#observers) observer.client?.(event);
  }
}

/** What happened to the client behind a connection. */
export function clientEvent(
  { clientId, username, peer }: Connection,
  kind: ClientEvent["kind"],
  details: ClientEvent["details"],
): ClientEvent {
  const { address, tcpPort } = peer;
  return { kind, clientId, username, address, tcpPort, details };
}
