import { createLog } from "../../src/log/index.ts";
import {
  SESSION_NEVER_EXPIRES,
  type SessionRecord,
  type StoredMessage,
  topic,
  topicFilter,
} from "../../src/mqtt/index.ts";
import { createStore, type Store } from "../../src/store/index.ts";
import { systemClock } from "../../src/time/index.ts";
import { payloadOf } from "./payload.ts";
import { randomFrom } from "./random.ts";
import { CLOUD, OUTBOX, RECORDS } from "./store-content.ts";

/** A session that never ends, of a client that is away. */
export const SESSION_RECORD: SessionRecord = {
  protocolVersion: 4,
  username: null,
  cleanStart: false,
  keepAliveS: 60,
  expiryIntervalS: SESSION_NEVER_EXPIRES,
  expiresAtMs: null,
  seqLimit: 1_000_000,
  will: null,
  listener: "tcp",
  peerAddress: "127.0.0.1",
  peerPort: 1,
  sinceMs: 0,
  createdMs: 0,
  connectedMs: 0,
  isBridge: false,
};

const SESSIONS = 12;
const RETAINED = 60;
const ROUNDS = 6;
const OUTBOX_MESSAGES = 30;

/** A message whose payload says its topic and which one it is. */
export function fixtureMessage(
  name: string,
  n: number,
  sizeBytes: number,
  retain: boolean,
): StoredMessage {
  return {
    topic: topic(name),
    payload: payloadOf(`${name}#${n}`, sizeBytes),
    qos: 1,
    retain,
    origin: { kind: "client", clientId: "filler", username: null },
    publishedMs: 0,
    expiresAtMs: null,
  };
}

/**
 * A store with everything in it that a store can hold, spread over tables and a log: LevelDB makes
 * a table of its log at each opening.
 */
export async function fillStore(path: string, seed: number): Promise<void> {
  const random = randomFrom(seed);
  for (let round = 0; round < ROUNDS; round++) {
    const store = createStore({ log: createLog({ level: "fatal" }), clock: systemClock }, { path });
    await store.start();
    for await (const _ of store.sessions());
    for (let n = 0; n < SESSIONS; n++) fillSession(store, n, round);
    for (let n = 0; n < RETAINED; n++) {
      if (round > 0 && random.chance(0.6)) continue;
      const sizeBytes = random.chance(0.1) ? 6000 : 100 + random.below(900);
      store.putRetained(fixtureMessage(`r/${n}`, round, sizeBytes, true));
    }
    for (let n = 0; n < RETAINED; n++) {
      if (round > 0 && random.chance(0.6)) continue;
      store.table(RECORDS).put(`k${n}`, payloadOf(`k${n}#${round}`, 100 + random.below(900)));
    }
    const outbox = store.outbox(CLOUD, OUTBOX);
    for (let n = 0; n < OUTBOX_MESSAGES; n++) {
      void outbox.append(
        fixtureMessage(`o/${n % 5}`, round * 100 + n, 200 + random.below(800), false),
      );
    }
    // Two commits, so that the log has more than one record.
    await store.committed(true);
    const shared = fixtureMessage("shared", round, 3000, false);
    for (let n = 0; n < SESSIONS; n += 3) enqueue(store, n, round * 100 + 90, shared);
    // Removals, of whole chunks and of parts.
    const first = round === 0 ? [] : await outbox.take(0, OUTBOX_MESSAGES / 2);
    for (const { seq } of first) outbox.remove(seq);
    await store.committed(true);
    await store.stop();
  }
}

function fillSession(store: Store, n: number, round: number): void {
  const session = store.session(`s${n}`);
  if (round === n % 3) {
    session.put(SESSION_RECORD);
    for (const filter of [`q/${n}/+`, "shared", `more/${n}`]) {
      session.putSubscription({
        filter: topicFilter(filter),
        qos: 1,
        noLocal: false,
        retainAsPublished: false,
        retainHandling: 0,
        subscriptionId: null,
      });
    }
    session.putInbound(n + 1);
  }
  if (round < n % 3) return;
  for (let i = 0; i < 8; i++) {
    const seq = round * 100 + i;
    enqueue(store, n, seq, fixtureMessage(`q/${n}/x`, seq, 200 + ((i * 997) % 2000), false));
  }
  // Removals, so that a table that comes back to life is noticed.
  if (round > 0 && n % 2 === 0) session.dequeue((round - 1) * 100 + 3);
}

function enqueue(store: Store, n: number, seq: number, message: StoredMessage): void {
  const copy = { seq, message, qos: 1, retain: false, subscriptionIds: [] } as const;
  store.session(`s${n}`).enqueue(copy);
}
