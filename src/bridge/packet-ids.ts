import type { IClientOptions } from "mqtt";
import { OUTBOX_LANES } from "../mqtt/index.ts";

type MessageIdProvider = NonNullable<IClientOptions["messageIdProvider"]>;

/** Highest packet identifier of a PUBLISH out of the first lane. */
export const LAST_DATA_ID = 60_000;

/** Packet identifiers of each further lane. */
const LANE_IDS = 2500;

/** Those above are for SUBSCRIBE and UNSUBSCRIBE. */
const LAST_LANE_ID = LAST_DATA_ID + (OUTBOX_LANES - 1) * LANE_IDS;

const LAST_ID = 65_535;

/**
 * The identifier of a queued message: it follows from the message's place in the order, so it is
 * the same on every connection, and after a restart with an outbox that keeps its numbers. The
 * cloud then knows a QoS 2 message again that it has already taken. Lanes share none: what waits in
 * one could be taken for what was sent from another.
 */
export function packetIdOf({ seq, lane }: { readonly seq: number; readonly lane: number }): number {
  if (lane === 0) return ((seq - 1) % LAST_DATA_ID) + 1;
  return LAST_DATA_ID + (lane - 1) * LANE_IDS + ((seq - 1) % LANE_IDS) + 1;
}

/** Identifiers for what MQTT.js sends by itself: SUBSCRIBE and UNSUBSCRIBE. */
export class ControlIds implements MessageIdProvider {
  #last = LAST_LANE_ID;

  allocate(): number {
    this.#last = this.#last >= LAST_ID ? LAST_LANE_ID + 1 : this.#last + 1;
    return this.#last;
  }

  getLastAllocated(): number | null {
    return this.#last;
  }

  register(): boolean {
    return true;
  }

  deallocate(): void {
    // There are more than are ever used at once.
  }

  clear(): void {
    this.#last = LAST_LANE_ID;
  }
}
