import type { IClientOptions } from "mqtt";

type MessageIdProvider = NonNullable<IClientOptions["messageIdProvider"]>;

/** Highest packet identifier of a PUBLISH; those above are for SUBSCRIBE and UNSUBSCRIBE. */
export const LAST_DATA_ID = 60_000;

const LAST_ID = 65_535;

/**
 * The identifier of a queued message: it follows from the message's place in the order, so it is
 * the same on every connection, and after a restart with an outbox that keeps its numbers. The
 * cloud then knows a QoS 2 message again that it has already taken.
 */
export function packetIdOf(seq: number): number {
  return ((seq - 1) % LAST_DATA_ID) + 1;
}

/** Lets us say which identifier MQTT.js uses for the next PUBLISH. */
export class PacketIds implements MessageIdProvider {
  #next: number | null = null;
  #control = LAST_DATA_ID;

  useNext(packetId: number): void {
    this.#next = packetId;
  }

  allocate(): number {
    const wanted = this.#next;
    this.#next = null;
    if (wanted !== null) return wanted;
    this.#control = this.#control >= LAST_ID ? LAST_DATA_ID + 1 : this.#control + 1;
    return this.#control;
  }

  getLastAllocated(): number | null {
    return null;
  }

  register(): boolean {
    return true;
  }

  deallocate(): void {
    // An identifier is free again once its message has left the outbox.
  }

  clear(): void {
    this.#next = null;
  }
}
