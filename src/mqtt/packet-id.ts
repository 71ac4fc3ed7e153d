/** Packet Identifiers run from 1 to this (MQTT 5.0 §2.2.1). */
export const MAX_PACKET_ID = 65_535;

/**
 * The Packet Identifier of the queue entry at `seq`. It follows from the sequence, so a restart
 * knows which identifiers a client may still hold without having stored them.
 */
export function packetIdOf(seq: number): number {
  return (seq % MAX_PACKET_ID) + 1;
}
