import { createLog } from "../../src/log/index.ts";
import type { Outbox } from "../../src/mqtt/index.ts";
import { createStore, type Store } from "../../src/store/index.ts";
import { systemClock } from "../../src/time/index.ts";
import { until } from "../helpers/until.ts";
import { DiskControl } from "./disk-control.ts";
import { idOf, payloadOf } from "./payload.ts";
import type { StoreLoad, StoreLoadReport } from "./probe.ts";
import { type Random, randomFrom } from "./random.ts";
import { CLOUD, contentOf, itemsOf, OUTBOX, RECORDS, type StoreContent } from "./store-content.ts";
import { fixtureMessage, SESSION_RECORD } from "./store-fixture.ts";

const ROUNDS = 24;
const SESSIONS = 4;
const TOPICS = 8;

/** faults.md need 12: normal again after the trouble is over. */
const RECOVERY_LIMIT_MS = 10_000;

/** What the store has acknowledged, and what it was asked for. */
class Account {
  /** By session: sequence → whether the entry's commit got through. */
  readonly entries = new Map<string, Map<number, boolean>>();
  /** Entries whose removal was asked for. */
  readonly removed = new Map<string, Set<number>>();
  /** By topic: the versions that may be there, oldest first; older ones than an acknowledged one may not. */
  readonly retained = new Map<string, number[]>();
  /** By key: as `retained`. */
  readonly records = new Map<string, number[]>();
  /** By id: whether the outbox has said that it is durable. */
  readonly forwarded = new Map<string, boolean>();
  readonly acknowledgedByCloud = new Set<string>();
  acknowledged = 0;
  refused = 0;
}

/**
 * Works on a store while its disk fails, lets the disk recover, and compares what the store then
 * holds, and holds after another start, with what it has acknowledged.
 */
export async function loadStore(path: string, load: StoreLoad): Promise<StoreLoadReport> {
  const control = new DiskControl(load.controlFile);
  const heal = load.plan === null ? () => {} : control.failFor(load.plan, load.healAfterMs);
  try {
    return await loadWhileFailing(path, load, control, heal);
  } finally {
    heal();
    control.close();
  }
}

async function loadWhileFailing(
  path: string,
  load: StoreLoad,
  control: DiskControl,
  heal: () => void,
): Promise<StoreLoadReport> {
  const random = randomFrom(load.seed);
  const violations: string[] = [];
  const account = new Account();
  let startError: string | null = null;

  let store = newStore(path);
  try {
    await store.start();
  } catch (err) {
    startError = err instanceof Error ? err.message : String(err);
    heal();
    // Whoever starts it again finds nothing in the way.
    store = newStore(path);
    await store.start();
  }
  for await (const _ of store.sessions());
  for (let round = 0; round < ROUNDS; round++) await workOn(store, account, random, round);

  const failed = control.failed;
  heal();

  const healedMs = performance.now();
  await until(
    `the store to be ready again, it is ${store.state}: ${store.status().trouble}`,
    () => store.state === "ready",
    RECOVERY_LIMIT_MS,
  ).catch((err: unknown) => violations.push(String(err)));
  const refusedBefore = account.refused;
  await workOn(store, account, random, ROUNDS);
  if (account.refused > refusedBefore) violations.push("it refuses although the disk is fine");
  const recoveryMs = performance.now() - healedMs;
  await store.stop();

  const again = newStore(path);
  await again.start();
  const content = await contentOf(again);
  violations.push(...compare(account, content), ...missing(load.base, account, content));
  await again.stop();
  if (violations.length > 0 && startError !== null) {
    violations.unshift(`first start: ${startError}`);
  }
  const { acknowledged, refused } = account;
  return { violations, failed, acknowledged, refused, startError, recoveryMs };
}

function newStore(path: string): Store {
  return createStore({ log: createLog({ level: "fatal" }), clock: systemClock }, { path });
}

async function workOn(
  store: Store,
  account: Account,
  random: Random,
  round: number,
): Promise<void> {
  const added: { client: string; seq: number }[] = [];
  const published: { name: string; version: number }[] = [];
  for (let i = 1 + random.below(4); i > 0; i--) {
    const client = `load${random.below(SESSIONS)}`;
    const session = store.session(client);
    const entries = account.entries.get(client) ?? new Map<number, boolean>();
    if (!account.entries.has(client)) session.put(SESSION_RECORD);
    account.entries.set(client, entries);
    const seq = round * 10 + i;
    const message = fixtureMessage(`q/${client}`, seq, 100 + random.below(8000), false);
    session.enqueue({ seq, message, qos: 1, retain: false, subscriptionIds: [] });
    entries.set(seq, false);
    added.push({ client, seq });
  }
  if (random.chance(0.5)) {
    const name = `load/${random.below(TOPICS)}`;
    store.putRetained(fixtureMessage(name, round, 100 + random.below(2000), true));
    account.retained.set(name, [...(account.retained.get(name) ?? []), round]);
    published.push({ name, version: round });
  }
  const recorded: { key: string; version: number }[] = [];
  if (random.chance(0.5)) {
    const key = `load${random.below(TOPICS)}`;
    store.table(RECORDS).put(key, payloadOf(`${key}#${round}`, 100 + random.below(2000)));
    account.records.set(key, [...(account.records.get(key) ?? []), round]);
    recorded.push({ key, version: round });
  }
  const outbox = store.outbox(CLOUD, OUTBOX);
  const forwarded: Promise<void>[] = [];
  for (let i = random.below(4); i > 0; i--) {
    const id = `o#${round * 10 + i}`;
    account.forwarded.set(id, false);
    const message = fixtureMessage("o", round * 10 + i, 100 + random.below(3000), false);
    const kept = () => void account.forwarded.set(id, true);
    const patienceMs = random.chance(0.3) ? 30 : 0;
    forwarded.push(
      outbox.append(message, patienceMs).then(kept, () => void account.forwarded.delete(id)),
    );
  }
  if (random.chance(0.5)) await acknowledgeSome(outbox, account, random);
  if (random.chance(0.4)) removeOne(store, account, random);
  await Promise.all(forwarded);
  try {
    await store.committed(true);
  } catch {
    account.refused += added.length + published.length + recorded.length;
    return;
  }
  account.acknowledged += added.length + published.length + recorded.length;
  for (const { client, seq } of added) account.entries.get(client)?.set(seq, true);
  for (const { name, version } of published) {
    const versions = account.retained.get(name) ?? [];
    account.retained.set(name, versions.slice(versions.indexOf(version)));
  }
  for (const { key, version } of recorded) {
    const versions = account.records.get(key) ?? [];
    account.records.set(key, versions.slice(versions.indexOf(version)));
  }
}

/** The cloud acknowledges some of what it gets. */
async function acknowledgeSome(outbox: Outbox, account: Account, random: Random) {
  // A disk that fails to read is asked again later.
  const entries = await outbox.take(0, 1 + random.below(4)).catch(() => []);
  for (const { seq, message } of entries) {
    if (random.chance(0.3)) continue;
    outbox.remove(seq);
    account.acknowledgedByCloud.add(idOf(message.payload) ?? "");
  }
}

function removeOne(store: Store, account: Account, random: Random): void {
  const client = `load${random.below(SESSIONS)}`;
  const seqs = [...(account.entries.get(client)?.keys() ?? [])];
  if (seqs.length === 0) return;
  const seq = random.pick(seqs);
  store.session(client).dequeue(seq);
  const removed = account.removed.get(client) ?? new Set<number>();
  account.removed.set(client, removed.add(seq));
}

/** What was there before the load and is not any more. */
function missing(base: StoreContent, account: Account, content: StoreContent): string[] {
  const found = new Set(itemsOf(content));
  const outbox = new Set(itemsOf({ ...base, sessions: [], retained: [], records: [] }));
  return itemsOf(base).flatMap((item) =>
    found.has(item) || (outbox.has(item) && account.acknowledgedByCloud.has(idIn(item)))
      ? []
      : [`lost ${item}`],
  );
}

/** The id in an item of the outbox, which is what the second word says. */
function idIn(item: string): string {
  return item.split(" ")[1] ?? "";
}

function compare(account: Account, content: StoreContent): string[] {
  const violations: string[] = [];
  if (content.setAside !== null) violations.push(`set aside: ${content.setAside.reason}`);
  for (const [client, entries] of account.entries) {
    const found = content.sessions.find(({ clientId }) => clientId === client);
    const removed = account.removed.get(client) ?? new Set();
    const present = new Set(found?.queue.map(({ seq }) => seq));
    for (const [seq, isAcknowledged] of entries) {
      if (isAcknowledged && !removed.has(seq) && !present.has(seq)) {
        violations.push(`${client} lost entry ${seq}, which was acknowledged`);
      }
    }
    for (const { seq, id } of found?.queue ?? []) {
      if (id !== `q/${client}#${seq}`) violations.push(`${client} entry ${seq} holds ${id}`);
      else if (!entries.has(seq)) violations.push(`${client} has entry ${seq} from nowhere`);
      else if (removed.has(seq)) violations.push(`${client} entry ${seq} is back`);
    }
  }
  const retained = new Map(content.retained.map(({ topic, id }) => [topic, id]));
  for (const [name, versions] of account.retained) {
    const newest = versions.map((version) => `${name}#${version}`).pop();
    const id = retained.get(name);
    // The disk was fine in the end, so everything that was recorded has been written by now.
    if (id !== newest) violations.push(`retained ${name} is ${id}, expected ${newest}`);
  }
  const waiting = new Set(content.outbox.map(({ id }) => id));
  for (const [id, isDurable] of account.forwarded) {
    if (account.acknowledgedByCloud.has(id)) continue;
    if (isDurable && !waiting.has(id)) violations.push(`the outbox lost ${id}`);
  }
  for (const id of account.acknowledgedByCloud) {
    if (waiting.has(id)) violations.push(`${id} is in the outbox again`);
  }
  const records = new Map(content.records.map(({ key, id }) => [key, id]));
  for (const [key, versions] of account.records) {
    const newest = `${key}#${versions.at(-1)}`;
    if (records.get(key) !== newest) {
      violations.push(`record ${key} is ${records.get(key)}, expected ${newest}`);
    }
  }
  return violations;
}
