import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openedStore, temporaryFolder } from "../open-store.testing.ts";
import { entryFor, messageFor, recordFor, subscriptionFor } from "../workload.testing.ts";
import type { AedesPacket } from "./aedes-packet.ts";

const load = createRequire(import.meta.url);

/** What aedes-persistence's suite uses of node:test. */
type SuiteTest = (name: string, body: (context: object) => Promise<void>) => void;

/** Runs aedes-persistence's own suite: its `t` is made of node:assert, with a plan that is checked. */
function runAbstractSuite(testAsync: boolean): void {
  const abstractSuite: (options: object) => void = load("aedes-persistence/abstract.js");
  const assert = load("node:assert");
  const { CallBackPersistence } = load("aedes-persistence/callBackPersistence.js");
  const suiteTest: SuiteTest = (name, body) => {
    test(name, async () => {
      let planned: number | null = null;
      let asserted = 0;
      const counting = new Proxy(assert, {
        get: (target, method) => {
          const check = Reflect.get(target, method);
          return (...args: unknown[]) => {
            asserted++;
            return check(...args);
          };
        },
      });
      await body({
        assert: counting,
        diagnostic: () => {},
        plan: (count: number) => {
          planned = count;
        },
      });
      if (planned !== null) expect(asserted).toBe(planned);
    });
  };
  const persistence = async () => {
    const store = await openedStore(join(temporaryFolder(), "db"));
    return testAsync ? store.persistence : new CallBackPersistence(() => store.persistence);
  };
  abstractSuite({ test: suiteTest, persistence, testAsync, waitForReady: true });
}

describe("aedes-persistence's own suite, as promises", () => runAbstractSuite(true));
describe("aedes-persistence's own suite, through its callback layer", () =>
  runAbstractSuite(false));

async function packetsOf(stream: AsyncIterable<AedesPacket>): Promise<AedesPacket[]> {
  const packets: AedesPacket[] = [];
  for await (const packet of stream) packets.push(packet);
  return packets;
}

const BROKER = { id: "broker" };

test("a queue keeps its order through restarts and new broker ids, with MQTT 5 properties", async () => {
  const path = join(temporaryFolder(), "db");
  const client = { id: "c" };
  const sent: string[] = [];
  // Broker ids that sort against the order of the runs.
  for (const brokerId of ["z", "m", "a"]) {
    const store = await openedStore(path);
    await store.persistence.setup({ id: brokerId });
    await store.persistence.addSubscriptions(client, [{ topic: "t/#", qos: 1 }]);
    for (const brokerCounter of [9, 10, 11]) {
      const payload = Buffer.from(`${brokerId}${brokerCounter}`);
      sent.push(payload.toString());
      const properties = { contentType: "x", userProperties: { n: "v" } };
      await store.persistence.outgoingEnqueueCombi([{ clientId: "c" }], {
        cmd: "publish",
        topic: "t/1",
        payload,
        qos: 1,
        retain: false,
        brokerId,
        brokerCounter,
        properties,
      });
    }
    await store.stop();
  }
  const store = await openedStore(path);
  await store.persistence.setup(BROKER);
  const packets = await packetsOf(store.persistence.outgoingStream(client));
  expect(packets.map(({ payload }) => String(payload))).toEqual(sent);
  expect(packets[0]?.properties).toEqual({ contentType: "x", userProperties: { n: "v" } });
  const [first] = packets;
  await store.persistence.outgoingUpdate(client, { ...first, messageId: 5 });
  const cleared = await store.persistence.outgoingClearMessageId(client, { messageId: 5 });
  expect(String(cleared?.payload)).toBe(sent[0]);
  expect(store.session("c").queue.count).toBe(sent.length - 1);
});

test("what the engine keeps is what the persistence shows, and the other way round", async () => {
  const path = join(temporaryFolder(), "db");
  const store = await openedStore(path);
  const { persistence } = store;
  await persistence.setup(BROKER);
  const session = store.session("c");
  session.put(recordFor(1));
  session.putSubscription(subscriptionFor("a/+", 1));
  session.enqueue(entryFor(0, 1, 20));
  store.putRetained(messageFor(2, 20, "r/1"));
  store.putRetained(messageFor(4, 9000, "r/2"));
  expect(await persistence.subscriptionsByClient({ id: "c" })).toMatchObject([
    { topic: "a/+", qos: 1 },
  ]);
  expect(await persistence.subscriptionsByTopic("a/x")).toMatchObject([{ clientId: "c", qos: 1 }]);
  expect(await persistence.subscriptionsByTopic("$a/x")).toEqual([]);
  expect(await packetsOf(persistence.outgoingStream({ id: "c" }))).toMatchObject([
    { cmd: "publish", topic: "t/1", payload: messageFor(1, 20).payload },
  ]);
  for (const patterns of [["r/1", "r/2"], ["r/+"], ["#", "r/1"]]) {
    const topics = (await packetsOf(persistence.createRetainedStreamCombi(patterns))).map(
      ({ topic }) => topic,
    );
    expect(topics.sort()).toEqual(["r/1", "r/2"]);
  }
  await persistence.addSubscriptions({ id: "d" }, [{ topic: "b", qos: 2 }]);
  session.deleteSubscription("a/+");
  expect(await persistence.subscriptionsByTopic("a/x")).toEqual([]);
  store.session("c").delete();
  expect(await packetsOf(persistence.outgoingStream({ id: "c" }))).toEqual([]);
  await store.stop();
  const again = await openedStore(path);
  await again.persistence.setup(BROKER);
  const loaded: string[] = [];
  for await (const batch of again.sessions())
    loaded.push(...batch.map((one) => one.store.clientId));
  expect(loaded).toEqual(["d"]);
  expect(await again.persistence.countOffline()).toEqual({ subsCount: 1, clientsCount: 1 });
});
