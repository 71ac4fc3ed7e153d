import { createRequire } from "node:module";
import { join } from "node:path";
import AsyncLevelPersistence from "aedes-persistence-level/asyncPersistence.js";
import { Level } from "level";
import { expect, test } from "vitest";
import { type LoadedRetained, type LoadedSession, packetIdOf } from "../../mqtt/index.ts";
import { ManualClock } from "../../time/index.ts";
import { FaultyLevel, NO_SPACE } from "../leveldb/faulty-level.testing.ts";
import { openedStore, temporaryFolder } from "../open-store.testing.ts";
import type { LevelStore } from "../store.ts";

/** aedes-persistence-level's own methods that the typed part of it leaves out. */
interface OldPersistence {
  setup(broker: object): Promise<void>;
  storeRetained(packet: object): Promise<void>;
  addSubscriptions(client: object, subscriptions: object[]): Promise<void>;
  outgoingEnqueue(subscription: object, packet: object): Promise<void>;
  outgoingUpdate(client: object, packet: object): Promise<void>;
  incomingStorePacket(client: object, packet: object): Promise<void>;
  putWill(client: object, packet: object): Promise<void>;
  destroy(): Promise<void>;
}

const CLIENTS = ["plain", "with:colon", "100%", "ünï/cödé", "__proto__"];

/** Writes a store with the very package whose stores are to be taken over. */
async function writeOldStore(path: string): Promise<void> {
  const Packet = createRequire(import.meta.url)("aedes-packet");
  const broker = { id: "old-broker", counter: 0 };
  // The class is given whole to those that know its other methods.
  const old = new AsyncLevelPersistence(new Level(path) as never) as unknown as OldPersistence;
  await old.setup(broker);
  for (const id of CLIENTS) {
    const subscriptions = [
      { topic: "s/+", qos: 1, rh: 0, rap: false, nl: false },
      { topic: "d/#", qos: 2, rh: 1, rap: true, nl: true, subscriptionIdentifier: 7 },
    ];
    await old.addSubscriptions({ id }, subscriptions);
  }
  for (let i = 0; i < 40; i++) {
    const properties = { contentType: "text", userProperties: { a: ["1", "2"], b: "3" } };
    const payload = Buffer.from(`value ${i}`);
    await old.storeRetained({
      cmd: "publish",
      topic: `r/é/${i}`,
      payload,
      qos: 1,
      retain: true,
      properties,
    });
  }
  for (let i = 0; i < 30; i++) {
    const packet = new Packet(
      {
        cmd: "publish",
        topic: `s/${i}`,
        payload: Buffer.from(`m${i}`),
        qos: i % 2 === 0 ? 1 : 2,
        clientId: "sender",
      },
      broker,
    );
    const sub = { clientId: "plain" };
    await old.outgoingEnqueue(sub, packet);
    // The first ten have been sent and not acknowledged.
    if (i >= 10) continue;
    packet.messageId = 500 + i;
    await old.outgoingUpdate({ id: "plain" }, packet);
    // Of two of them PUBREC has come.
    if (i === 3 || i === 5) {
      await old.outgoingUpdate({ id: "plain" }, { cmd: "pubrel", messageId: 500 + i });
    }
  }
  const half = {
    cmd: "publish",
    topic: "d/1",
    payload: Buffer.from("half"),
    qos: 2,
    messageId: 77,
  };
  await old.incomingStorePacket({ id: "with:colon" }, half);
  const will = { topic: "w/1", payload: Buffer.from("gone"), qos: 1, retain: false };
  await old.putWill({ id: "plain" }, { ...will, properties: { willDelayInterval: 30 } });
  await old.putWill({ id: "guest" }, { ...will });
  await old.destroy();
}

async function collect<T>(batches: AsyncIterable<readonly T[]>): Promise<T[]> {
  const all: T[] = [];
  for await (const batch of batches) all.push(...batch);
  return all;
}

async function expectTakenOver(store: LevelStore): Promise<void> {
  const sessions = await collect<LoadedSession>(store.sessions());
  const byName = new Map(sessions.map((session) => [session.store.clientId, session]));
  expect([...byName.keys()].sort()).toEqual([...CLIENTS, "guest"].sort());
  for (const id of CLIENTS) {
    expect(byName.get(id)?.subscriptions).toEqual([
      {
        filter: "d/#",
        qos: 2,
        noLocal: true,
        retainAsPublished: true,
        retainHandling: 1,
        subscriptionId: 7,
      },
      {
        filter: "s/+",
        qos: 1,
        noLocal: false,
        retainAsPublished: false,
        retainHandling: 0,
        subscriptionId: null,
      },
    ]);
    expect(byName.get(id)?.record).toMatchObject({
      protocolVersion: 4,
      expiryIntervalS: 0xffff_ffff,
    });
  }
  const queue = await store.session("plain").readQueue(0, 100, 1e6);
  expect(queue.length).toBe(31);
  const sent = queue.slice(0, 10);
  expect(sent.map(({ seq }) => packetIdOf(seq))).toEqual(sent.map((_, i) => 500 + i));
  for (const [i, { message }] of queue.slice(0, 30).entries()) {
    if (i === 3 || i === 5) expect(message).toBeNull();
    else {
      expect(message).toMatchObject({
        topic: `s/${i}`,
        payload: Buffer.from(`m${i}`),
        qos: i % 2 === 0 ? 1 : 2,
        origin: { kind: "client", clientId: "sender", username: null },
      });
    }
  }
  const limit = byName.get("plain")?.record.seqLimit ?? 0;
  expect(limit).toBeGreaterThan(queue.at(-1)?.seq ?? 0);
  // aedes would have routed it at PUBREL: everybody but its sender (no local) has it now, once.
  expect(queue.at(-1)?.message).toMatchObject({
    topic: "d/1",
    payload: Buffer.from("half"),
    qos: 2,
  });
  expect(byName.get("with:colon")?.inbound).toEqual([77]);
  expect(store.session("with:colon").queue.count).toBe(0);
  expect(store.session("__proto__").queue.count).toBe(1);
  expect(byName.get("plain")?.record.will).toMatchObject({
    message: { topic: "w/1", payload: Buffer.from("gone"), qos: 1 },
    delayS: 30,
    dueAtMs: null,
  });
  expect(byName.get("guest")?.record).toMatchObject({ expiryIntervalS: 0, will: { delayS: 0 } });
  const retained = await collect<LoadedRetained>(store.retained());
  expect(retained).toHaveLength(40);
  for (const { message } of retained) {
    expect(message).toMatchObject({
      retain: true,
      qos: 1,
      properties: {
        contentType: "text",
        userProperties: [
          ["a", "1"],
          ["a", "2"],
          ["b", "3"],
        ],
      },
    });
  }
  for await (const rows of store.database.rows({ gte: Buffer.of(0x20), lt: Buffer.of(0xff) })) {
    expect(rows).toEqual([]);
  }
}

test("a store of aedes-persistence-level 9.2.0 is taken over whole", async () => {
  const path = join(temporaryFolder(), "db");
  await writeOldStore(path);
  const store = await openedStore(path);
  await expectTakenOver(store);
  await store.stop();
  const again = await openedStore(path);
  await expectTakenOver(again);
  expect(again.status().setAside).toBeNull();
});

test("a takeover that is cut off at any write starts over and ends the same", async () => {
  const path = join(temporaryFolder(), "db");
  await writeOldStore(path);
  for (let cut = 1; ; cut++) {
    const driver = new FaultyLevel();
    driver.onWrite = (write) => (write === cut ? { kind: "refused", reason: NO_SPACE } : null);
    try {
      const store = await openedStore(path, { driver, clock: new ManualClock() });
      await expectTakenOver(store);
      expect(cut).toBeGreaterThan(3);
      return;
    } catch (err) {
      expect(err).toMatchObject({ code: "STORE_FULL" });
      expect(cut).toBeLessThan(20);
    }
  }
});
