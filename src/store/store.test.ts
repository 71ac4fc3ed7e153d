import assert from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isGatewayError } from "../errors/index.ts";
import { createLog } from "../log/index.ts";
import { systemClock } from "../time/index.ts";
import { createStore, type Store } from "./index.ts";

let dir = "";
let path = "";
let lines: string[] = [];
const opened: Store[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "tidegate-store-"));
  path = join(dir, "store");
  lines = [];
});

afterEach(async () => {
  for (const store of opened.splice(0)) await store.stop();
  await rm(dir, { recursive: true });
});

function storeIn(where: string): Store {
  const log = createLog({ level: "info" }, { write: (line) => void lines.push(line) });
  const store = createStore({ log, clock: systemClock }, { path: where });
  opened.push(store);
  return store;
}

async function started(where = path): Promise<Store> {
  const store = storeIn(where);
  await store.start();
  return store;
}

async function fill(count: number): Promise<void> {
  const store = await started();
  for (let n = 0; n < count; n++) {
    await store.persistence.storeRetained(message(`t/${n}`, `value ${n}`));
  }
  await store.persistence.addSubscriptions({ id: "c" }, [{ topic: "a/#", qos: 1 }]);
  await store.persistence.saveSession({ clientId: "c", username: "u" });
  await store.stop();
}

function message(topic: string, text: string, more: object = {}) {
  return { cmd: "publish", topic, payload: Buffer.from(text), qos: 1, retain: true, ...more };
}

async function retained(store: Store, filter: string): Promise<string[]> {
  const packets = await store.persistence.createRetainedStream(filter).toArray();
  return packets.map((packet: { payload: Buffer }) => packet.payload.toString());
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (err) {
    return isGatewayError(err) ? `${err.code}: ${err.message}` : String(err);
  }
}

async function fileLike(pattern: RegExp): Promise<string> {
  const name = (await readdir(path)).find((candidate) => pattern.test(candidate));
  assert(name !== undefined, `no file like ${pattern}`);
  return join(path, name);
}

test("the directory is readable by its owner alone, also when it was not before", async () => {
  await fill(1);
  await chmod(path, 0o755);
  await started();
  expect((await stat(path)).mode & 0o777).toBe(0o700);
});

test("a restart brings back retained messages, subscriptions and sessions", async () => {
  await fill(3);
  const store = await started();
  expect(await retained(store, "t/+")).toEqual(["value 0", "value 1", "value 2"]);
  expect(await store.persistence.subscriptionsByClient({ id: "c" })).toMatchObject([
    { topic: "a/#", qos: 1 },
  ]);
  expect(store.persistence.sessions()).toEqual([{ clientId: "c", username: "u" }]);
  expect(store.status()).toMatchObject({ isOpen: true, sessions: 1, retained: 3, setAside: null });
  expect(store.status().bytesOnDisk).toBeGreaterThan(0);
});

test("a store that another part of this process has open is left alone", async () => {
  await fill(1);
  await started();
  expect(await codeOf(storeIn(path).start())).toMatch(
    /^STORE_OPEN_FAILED: .*already in use by another process/,
  );
  expect(await readdir(dir)).toEqual(["store"]);
});

test("a store that another process has open is left alone", async () => {
  await fill(1);
  const holder = spawn(process.execPath, [
    "--input-type=module",
    "--eval",
    `import { Level } from ${JSON.stringify(import.meta.resolve("level"))};
     await new Level(${JSON.stringify(path)}).open();
     console.log("open");
     setInterval(() => undefined, 1000);`,
  ]);
  try {
    await once(holder.stdout, "data");
    expect(await codeOf(storeIn(path).start())).toContain("already in use by another process");
    expect(await readdir(dir)).toEqual(["store"]);
  } finally {
    holder.kill("SIGKILL");
    await once(holder, "exit");
  }
  expect(await retained(await started(), "t/0")).toEqual(["value 0"]);
});

test("a path that is a file is refused", async () => {
  await writeFile(path, "");
  expect(await codeOf(storeIn(path).start())).toMatch(/^STORE_OPEN_FAILED/);
});

test("a truncated MANIFEST is repaired without loss", async () => {
  await fill(50);
  await truncate(await fileLike(/^MANIFEST/), 5);
  const store = await started();
  expect(await retained(store, "t/#")).toHaveLength(50);
  expect(store.status()).toMatchObject({ isRepaired: true, setAside: null });
  expect(lines.join("")).toContain("damaged store repaired");
});

test("a deleted CURRENT is repaired without loss", async () => {
  await fill(50);
  await rm(join(path, "CURRENT"));
  const store = await started();
  expect(await retained(store, "t/#")).toHaveLength(50);
  expect(store.status().isRepaired).toBe(true);
});

test("a CURRENT that names no file is repaired without loss", async () => {
  await fill(50);
  await writeFile(join(path, "CURRENT"), Buffer.alloc(16));
  expect(await retained(await started(), "t/#")).toHaveLength(50);
});

test("a log of NULs, as a power cut leaves it, costs at most its own messages", async () => {
  await fill(5);
  await (await started()).stop();
  const log = await fileLike(/\.log$/);
  await writeFile(log, Buffer.alloc(4096));
  const store = await started();
  expect(store.status().isOpen).toBe(true);
  await store.persistence.storeRetained(message("t/new", "new"));
  expect(await retained(store, "t/new")).toEqual(["new"]);
});

test("whatever single file is cut, emptied or overwritten, the store starts and works", async () => {
  await fill(20);
  const names = (await readdir(path)).filter((name) => name !== "LOCK");
  await rm(path, { recursive: true });
  for (const name of names) {
    for (const damage of [Buffer.alloc(0), Buffer.alloc(300), Buffer.from("garbage\n")]) {
      await fill(20);
      await writeFile(join(path, name), damage);
      const store = await started();
      await store.persistence.storeRetained(message("t/new", "new"));
      expect(await retained(store, "t/new"), name).toEqual(["new"]);
      await store.stop();
      await rm(path, { recursive: true });
    }
  }
});

test("a store beyond repair is set aside, named, and replaced by an empty one", async () => {
  await fill(5);
  await rm(join(path, "CURRENT"));
  // A directory in place of LevelDB's lock file makes the repair fail.
  for (const name of await readdir(path)) {
    if (name.startsWith("MANIFEST")) await rm(join(path, name));
  }
  await writeFile(join(path, "000001.ldb"), Buffer.alloc(10));
  await rm(join(path, "LOCK"), { force: true });
  await mkdir(join(path, "LOCK"));
  const store = await started();
  const { setAside } = store.status();
  expect(setAside).toMatch(/store\.damaged-\d{4}-/);
  expect(await readdir(dir)).toHaveLength(2);
  expect(store.status().retained).toBe(0);
  expect(lines.join("")).toContain("damaged store set aside");
  await store.persistence.storeRetained(message("t/new", "new"));
  expect(await retained(store, "#")).toEqual(["new"]);
});

test("stop writes what was accepted and may be called twice", async () => {
  const store = await started();
  const writes = Array.from({ length: 100 }, (_, n) =>
    store.persistence.storeRetained(message(`t/${n}`, "x")),
  );
  await Promise.all([store.stop(), store.stop()]);
  await Promise.all(writes);
  expect((await started()).status().retained).toBe(100);
});

test("the last of many retained messages on a topic is the one that stays", async () => {
  const store = await started();
  await Promise.all(
    Array.from({ length: 200 }, (_, n) => store.persistence.storeRetained(message("t", `${n}`))),
  );
  expect(await retained(store, "t")).toEqual(["199"]);
});

test("writes of one moment share one commit", async () => {
  const store = await started();
  await Promise.all(
    Array.from({ length: 200 }, (_, n) => store.persistence.storeRetained(message(`t/${n}`, "x"))),
  );
  expect(store.status()).toMatchObject({ commits: 1, fsyncs: 1 });
});

test("a wildcard does not match topics that start with $ [MQTT-4.7.2-1]", async () => {
  const store = await started();
  await store.persistence.storeRetained(message("$SYS/x", "system"));
  await store.persistence.addSubscriptions({ id: "c" }, [
    { topic: "#", qos: 1 },
    { topic: "+/x", qos: 1 },
  ]);
  expect(await retained(store, "#")).toEqual([]);
  expect(await retained(store, "$SYS/#")).toEqual(["system"]);
  expect(await store.persistence.subscriptionsByTopic("$SYS/x")).toEqual([]);
});

test("a narrower subscription leaves the wider one of the same session in place", async () => {
  const { persistence } = await started();
  await persistence.addSubscriptions({ id: "c" }, [{ topic: "a/#", qos: 2 }]);
  await persistence.addSubscriptions({ id: "c" }, [{ topic: "a/b", qos: 1 }]);
  expect(await persistence.subscriptionsByTopic("a/c")).toMatchObject([{ topic: "a/#" }]);
  await persistence.removeSubscriptions({ id: "c" }, ["a/#"]);
  expect(await persistence.subscriptionsByTopic("a/b")).toMatchObject([{ topic: "a/b" }]);
});

function queued(n: number) {
  return message(`q/${n}`, `${n}`, { brokerId: "b", brokerCounter: n, retain: false });
}

async function queueOf(store: Store, clientId: string): Promise<object[]> {
  return store.persistence.outgoingStream({ id: clientId }).toArray();
}

test("queued messages keep their order over a restart, whatever process queued them", async () => {
  const one = await started();
  for (let n = 1; n <= 12; n++) await one.persistence.outgoingEnqueue({ clientId: "c" }, queued(n));
  await one.stop();
  const two = await started();
  await two.persistence.outgoingEnqueue(
    { clientId: "c" },
    { ...queued(1), brokerId: "another", topic: "q/13" },
  );
  expect(await queueOf(two, "c")).toMatchObject(
    Array.from({ length: 13 }, (_, n) => ({ topic: `q/${n + 1}` })),
  );
  expect(two.status().queuedMessages).toBe(13);
});

test("over the limit the oldest unsent message is dropped and reported", async () => {
  const store = await started();
  const { persistence } = store;
  const dropped: string[] = [];
  persistence.limitQueues(3, (clientId) => void dropped.push(clientId));
  for (let n = 1; n <= 5; n++) await persistence.outgoingEnqueue({ clientId: "c" }, queued(n));
  expect(await queueOf(store, "c")).toMatchObject([
    { topic: "q/3" },
    { topic: "q/4" },
    { topic: "q/5" },
  ]);
  expect(dropped).toEqual(["c", "c"]);
});

test("a message has its packet identifier, or its PUBREL, again after a restart", async () => {
  const one = await started();
  for (const n of [1, 2]) await one.persistence.outgoingEnqueue({ clientId: "c" }, queued(n));
  await one.persistence.outgoingUpdate({ id: "c" }, { ...queued(1), messageId: 7 });
  await one.persistence.outgoingUpdate({ id: "c" }, { ...queued(2), messageId: 8 });
  await one.persistence.outgoingUpdate({ id: "c" }, { cmd: "pubrel", messageId: 8 });
  await one.stop();
  const two = await started();
  expect(await queueOf(two, "c")).toMatchObject([
    { topic: "q/1", messageId: 7 },
    { cmd: "pubrel", messageId: 8 },
  ]);
});

test("a queued message has the lower of its own and the subscription's QoS", async () => {
  const store = await started();
  await store.persistence.outgoingEnqueueCombi(
    [
      { clientId: "c", topic: "q/#", qos: 1 },
      { clientId: "c", topic: "q/1", qos: 1 },
    ],
    { ...queued(1), qos: 2 },
  );
  expect(await queueOf(store, "c")).toMatchObject([{ qos: 1 }]);
});

test("ending a session removes its messages, subscriptions and record for good", async () => {
  const one = await started();
  await one.persistence.saveSession({ clientId: "c" });
  await one.persistence.addSubscriptions({ id: "c" }, [{ topic: "a", qos: 1 }]);
  await one.persistence.outgoingEnqueue({ clientId: "c" }, queued(1));
  await one.persistence.cleanSubscriptions({ id: "c" });
  await one.stop();
  const two = await started();
  expect(two.status()).toMatchObject({ sessions: 0, queuedMessages: 0 });
  expect(await two.persistence.subscriptionsByClient({ id: "c" })).toEqual([]);
});

test("prototype names and separators are ordinary client ids and topics", async () => {
  const one = await started();
  const names = ["__proto__", "constructor", "toString", "a:b", "ä/+#", "%3A"];
  for (const id of names) {
    await one.persistence.saveSession({ clientId: id });
    await one.persistence.addSubscriptions({ id }, [{ topic: `${id}/x`, qos: 1 }]);
    await one.persistence.outgoingEnqueue({ clientId: id }, queued(1));
    await one.persistence.storeRetained(message(`topic/${id}`, id));
  }
  await one.stop();
  const two = await started();
  expect(
    two.persistence
      .sessions()
      .map(({ clientId }) => clientId)
      .toSorted(),
  ).toEqual(names.toSorted());
  for (const id of names) {
    expect(await two.persistence.subscriptionsByClient({ id })).toMatchObject([
      { topic: `${id}/x` },
    ]);
    expect(await queueOf(two, id)).toHaveLength(1);
  }
  expect(await retained(two, "#")).toHaveLength(names.length);
});
