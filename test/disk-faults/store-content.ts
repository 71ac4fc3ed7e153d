import type { OutboxConfig, Store, StoreStatus } from "../../src/store/index.ts";
import { idOf } from "./payload.ts";

/** One place of a session's queue as it was found. */
export interface FoundEntry {
  readonly seq: number;
  /** The payload's id; null when it is none of ours. A released entry has no topic and no id. */
  readonly topic: string | null;
  readonly id: string | null;
  readonly qos: number;
  readonly isReleased: boolean;
}

/** One message in the outbox CLOUD. */
export interface FoundOutboxEntry {
  readonly seq: number;
  readonly topic: string;
  readonly id: string | null;
}

export interface FoundSession {
  readonly clientId: string;
  readonly filters: readonly string[];
  /** Packet Identifiers of inbound QoS 2 messages. */
  readonly inbound: readonly number[];
  readonly seqLimit: number;
  readonly queue: readonly FoundEntry[];
}

/** Everything a store holds. */
export interface StoreContent {
  readonly sessions: readonly FoundSession[];
  readonly retained: readonly { readonly topic: string; readonly id: string | null }[];
  /** Keys of the records in the table RECORDS, each with the id in its value. */
  readonly records: readonly { readonly key: string; readonly id: string | null }[];
  /** What waits for the cloud. */
  readonly outbox: readonly FoundOutboxEntry[];
  readonly setAside: StoreStatus["setAside"];
  readonly damagedRecords: number;
}

/** The record table of the tests. */
export const RECORDS = "records";

/** The outbox of the tests: the bridge's name, and bounds that no test meets. */
export const CLOUD = "cloud";
export const OUTBOX: OutboxConfig = {
  maxMessages: 1_000_000,
  maxBytes: 1_000_000_000,
  maxAgeMs: 0,
  backlogMessages: 1000,
  policy: "drop_oldest",
};

/** Reads everything out of a store that has just been started. */
export async function contentOf(store: Store): Promise<StoreContent> {
  const sessions: FoundSession[] = [];
  for await (const batch of store.sessions()) {
    for (const { store: session, record, subscriptions, inbound } of batch) {
      const queue: FoundEntry[] = [];
      for (let from = 0; ; ) {
        const entries = await session.readQueue(from, 500, 4_194_304);
        for (const entry of entries) {
          from = entry.seq + 1;
          const { seq, message } = entry;
          queue.push(
            message === null
              ? { seq, topic: null, id: null, qos: 2, isReleased: true }
              : {
                  seq,
                  topic: message.topic,
                  id: idOf(message.payload),
                  qos: "qos" in entry ? entry.qos : 0,
                  isReleased: false,
                },
          );
        }
        if (entries.length === 0) break;
      }
      sessions.push({
        clientId: session.clientId,
        filters: subscriptions.map(({ filter }) => filter),
        inbound,
        seqLimit: record.seqLimit,
        queue,
      });
    }
  }
  const retained: { topic: string; id: string | null }[] = [];
  for await (const batch of store.retained()) {
    for (const { topic, message } of batch) {
      const whole = message ?? (await store.getRetained(topic));
      retained.push({ topic, id: whole === null ? null : idOf(whole.payload) });
    }
  }
  const records: { key: string; id: string | null }[] = [];
  for await (const slice of store.table(RECORDS).entries()) {
    for (const [key, value] of slice) records.push({ key, id: idOf(value) });
  }
  const outbox: FoundOutboxEntry[] = [];
  const cloud = store.outbox(CLOUD, OUTBOX);
  for (let after = 0; ; ) {
    const entries = await cloud.take(after, 500);
    for (const { seq, message } of entries) {
      after = seq;
      outbox.push({ seq, topic: message.topic, id: idOf(message.payload) });
    }
    if (entries.length === 0) break;
  }
  const { setAside, damagedRecords } = store.status();
  return { sessions, retained, records, outbox, setAside, damagedRecords };
}

/** Everything a store holds, one text for each thing. */
export function itemsOf({ sessions, retained, records, outbox }: StoreContent): string[] {
  return [
    ...sessions.flatMap(({ clientId, filters, inbound, queue }) => [
      `session ${clientId}`,
      ...filters.map((filter) => `subscription ${filter} of ${clientId}`),
      ...inbound.map((packetId) => `inbound ${packetId} of ${clientId}`),
      ...queue.map(({ seq, topic, id, isReleased }) =>
        isReleased ? `released ${seq} of ${clientId}` : `${topic} ${id} at ${seq} of ${clientId}`,
      ),
    ]),
    ...retained.map(({ topic, id }) => `retained ${topic} ${id}`),
    ...records.map(({ key, id }) => `record ${key} ${id}`),
    ...outbox.map(({ seq, topic, id }) => `${topic} ${id} at ${seq} of the outbox`),
  ];
}
