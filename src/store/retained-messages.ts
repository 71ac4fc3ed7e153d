import { matches } from "../mqtt/index.ts";
import { type Database, keysUnder } from "./database.ts";
import { decodePacket, encodePacket, type StoredPacket } from "./record.ts";

const RETAINED = "retained:";

/**
 * Retained messages: payloads on disk, topics in memory, so that a SUBSCRIBE reads only the messages
 * it matches (aedes-persistence-level reads them all: 36 ms of them at 5,000).
 */
export class RetainedMessages {
  readonly #db: Database;
  readonly #topics = new Set<string>();

  constructor(db: Database) {
    this.#db = db;
  }

  get count(): number {
    return this.#topics.size;
  }

  async load(): Promise<void> {
    this.#topics.clear();
    for await (const key of this.#db.keys(keysUnder(RETAINED))) {
      this.#topics.add(key.slice(RETAINED.length));
    }
  }

  /** Replaces the topic's message; an empty payload deletes it ([MQTT-3.3.1-6], [MQTT-3.3.1-10]). */
  async store(packet: StoredPacket): Promise<void> {
    const isDeletion = packet.payload.length === 0;
    if (isDeletion) this.#topics.delete(packet.topic);
    else this.#topics.add(packet.topic);
    const value = isDeletion ? null : encodePacket(packet);
    // QoS 0 promises nothing, and a sensor's state every second must not cost an fsync each.
    const isDurable = packet.qos > 0;
    await this.#db.commit([[`${RETAINED}${packet.topic}`, value]], { isDurable });
  }

  /** The messages each filter matches, filter by filter. */
  async *stream(filters: readonly string[]): AsyncGenerator<StoredPacket> {
    for (const filter of filters) {
      for (const topic of this.#matching(filter)) {
        const bytes = await this.#db.get(`${RETAINED}${topic}`);
        const packet = bytes === undefined ? null : decodePacket(bytes);
        if (packet !== null) yield packet;
      }
    }
  }

  #matching(filter: string): string[] {
    if (!/[+#]/.test(filter)) return this.#topics.has(filter) ? [filter] : [];
    return [...this.#topics].filter((topic) => matches(filter, topic));
  }
}
