import type { OutgoingAliases } from "./alias.ts";
import type { Writer } from "./writer.ts";

/** What a session sees of the connection it is attached to. */
export interface Link {
  readonly writer: Writer;
  readonly isV5: boolean;
  /** CONNACK has been sent; nothing may go before it. */
  readonly isReady: boolean;
  /** Largest packet the client takes. */
  readonly maxPacketBytes: number;
  /** Receive Maximum of the client, within the engine's own bound. */
  readonly window: number;
  /** Null when the client takes no aliases. */
  readonly aliases: OutgoingAliases | null;
  /** Messages sent, by QoS; the gateway's own are left out. */
  out0: number;
  out1: number;
  out2: number;
  /** The session's queue is full because of this client: the connection ends after this turn of the loop. */
  onQueueFull(): void;
}
