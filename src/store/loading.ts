import type {
  LoadedRetained,
  LoadedSession,
  SessionRecord,
  StoredSubscription,
} from "../mqtt/index.ts";
import type { Bodies } from "./bodies.ts";
import type { Database } from "./database.ts";
import { sessionOfKey, TABLE, tableRange } from "./keys.ts";
import { readMessage, sizeOf } from "./message-codec.ts";
import { type DamageReport, parseRow } from "./reader.ts";
import { readSubscription } from "./record-codec.ts";
import type { StoredSession } from "./session-store.ts";
import { openValue } from "./value.ts";

const SESSIONS_PER_BATCH = 256;

/** Larger payloads of retained messages stay on the disk: `getRetained` fetches them. */
const RETAINED_IN_MEMORY_BYTES = 4096;

/** Where the filter begins in a subscription's key. */
const FILTER_AT = 7;

/**
 * The sessions with records, in the order of their numbers, each with its subscriptions: one walk
 * over the subscriptions, which have the same order.
 */
export async function* sessionBatches(
  database: Database,
  sessions: Iterable<StoredSession>,
  records: ReadonlyMap<number, SessionRecord>,
): AsyncGenerator<readonly LoadedSession[]> {
  const subscriptions = new SubscriptionCursor(database);
  let batch: LoadedSession[] = [];
  try {
    for (const store of inOrder(sessions)) {
      const record = records.get(store.number);
      if (record === undefined) continue;
      batch.push({
        store,
        record,
        subscriptions: await subscriptions.of(store.number),
        inbound: [...store.inboundOnDisk],
      });
      if (batch.length < SESSIONS_PER_BATCH) continue;
      yield batch;
      batch = [];
    }
  } finally {
    await subscriptions.close();
  }
  if (batch.length > 0) yield batch;
}

/** Every subscription of the given sessions, with its client. */
export async function* subscriptionsOf(
  database: Database,
  sessions: readonly StoredSession[],
): AsyncGenerator<[clientId: string, subscription: StoredSubscription]> {
  const cursor = new SubscriptionCursor(database);
  try {
    for (const { clientId, number } of inOrder(sessions)) {
      for (const subscription of await cursor.of(number)) yield [clientId, subscription];
    }
  } finally {
    await cursor.close();
  }
}

/** The keys of bodies up to number `highest` that no entry uses. */
export async function* unusedBodies(
  database: Database,
  bodies: Bodies,
  highest: number,
): AsyncGenerator<Buffer> {
  for await (const rows of database.rows(tableRange(TABLE.body))) {
    for (const [key] of rows) {
      const body = sessionOfKey(key);
      if (body <= highest && bodies.uses(body) === 0) yield key;
    }
  }
}

function inOrder(sessions: Iterable<StoredSession>): StoredSession[] {
  return [...sessions].sort((a, b) => a.number - b.number);
}

/** Retained messages in the order of their topics' bytes. */
export async function* retainedBatches(
  database: Database,
  onDamage: DamageReport,
): AsyncGenerator<readonly LoadedRetained[]> {
  for await (const rows of database.rows(tableRange(TABLE.retained))) {
    const batch: LoadedRetained[] = [];
    for (const [key, value] of rows) {
      const message = parseRow(key, () => readMessage(openValue(key, value)), onDamage);
      if (message === null) continue;
      const { topic, expiresAtMs, payload } = message;
      const isSmall = payload.length <= RETAINED_IN_MEMORY_BYTES;
      const bytes = sizeOf(message);
      batch.push({ topic, bytes, expiresAtMs, message: isSmall ? message : null });
    }
    yield batch;
  }
}

/** Hands out subscriptions session by session, in ascending order of the sessions' numbers. */
class SubscriptionCursor {
  readonly #batches: AsyncGenerator<[Buffer, Buffer][]>;
  #rows: [Buffer, Buffer][] = [];
  #at = 0;
  #isAtEnd = false;

  constructor(database: Database) {
    this.#batches = database.rows(tableRange(TABLE.subscription));
  }

  async of(session: number): Promise<StoredSubscription[]> {
    const found: StoredSubscription[] = [];
    for (;;) {
      const row = this.#rows[this.#at] ?? (await this.#refill());
      if (row === null) return found;
      const [key, value] = row;
      const number = sessionOfKey(key);
      if (number > session) return found;
      this.#at++;
      if (number < session) continue;
      const filter = key.toString("utf8", FILTER_AT);
      const parse = () => readSubscription(openValue(key, value), filter);
      // The scan at the start has reported what cannot be read, and has it removed.
      const subscription = parseRow(key, parse, () => {});
      if (subscription !== null) found.push(subscription);
    }
  }

  async close(): Promise<void> {
    await this.#batches.return(undefined);
  }

  async #refill(): Promise<[Buffer, Buffer] | null> {
    if (this.#isAtEnd) return null;
    const next = await this.#batches.next();
    this.#at = 0;
    this.#rows = next.done === true ? [] : next.value;
    this.#isAtEnd = next.done === true;
    return this.#rows[0] ?? null;
  }
}
