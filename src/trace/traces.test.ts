import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createLog } from "../log/index.ts";
import {
  type ClientEvent,
  type Observer,
  type PassingMessage,
  type QoS,
  topic,
} from "../mqtt/index.ts";
import { ManualClock } from "../time/index.ts";
import { createTraces, type TraceSpec, type Traces, type TraceTable } from "./index.ts";

const START_MS = Date.UTC(2026, 0, 1);

class MemoryTable implements TraceTable {
  readonly rows = new Map<string, Buffer>();

  async *entries(): AsyncIterable<readonly (readonly [string, Buffer])[]> {
    yield [...this.rows];
  }

  put(key: string, value: Buffer): void {
    this.rows.set(key, value);
  }

  delete(key: string): void {
    this.rows.delete(key);
  }
}

let path: string;
let clock: ManualClock;
let table: MemoryTable;
let traces: Traces;
const observers = new Set<Required<Observer>>();

function open(): Traces {
  return createTraces(
    {
      log: createLog({ level: "fatal" }),
      clock,
      store: { table: () => table },
      broker: {
        observe(observer) {
          observers.add(observer as Required<Observer>);
          return () => void observers.delete(observer as Required<Observer>);
        },
        client: (clientId) =>
          clientId === "gone" ? undefined : { peerAddress: "::ffff:10.0.0.7", peerPort: 5000 },
      },
    },
    { path },
  );
}

beforeEach(async () => {
  path = join(await mkdtemp(join(tmpdir(), "tidegate-trace-")), "trace");
  clock = new ManualClock(START_MS);
  table = new MemoryTable();
  traces = open();
  await traces.start();
});

afterEach(async () => {
  await traces.stop();
  expect(observers.size).toBe(0);
  await rm(join(path, ".."), { recursive: true });
});

const spec = (more: Partial<TraceSpec> = {}): TraceSpec => ({
  name: "t1",
  kind: "clientid",
  value: "c1",
  startAtMs: clock.nowMs(),
  endAtMs: clock.nowMs() + 600_000,
  formatter: "text",
  payloadEncode: "text",
  payloadLimit: 1024,
  ...more,
});

function message(name: string, payload: string, qos: QoS = 0): PassingMessage {
  const bytes = Buffer.from(payload);
  const origin = { kind: "client", clientId: "c1", username: null } as const;
  const plain = { topic: topic(name), qos, retain: false, origin };
  return {
    ...plain,
    payloadBytes: bytes.length,
    publishedMs: 0,
    keep: () => ({ ...plain, payload: bytes, publishedMs: 0, expiresAtMs: null }),
  };
}

function each(act: (observer: Required<Observer>) => void): void {
  for (const observer of observers) act(observer);
}

async function textOf(name = "t1"): Promise<string> {
  return (await traces.read(name, 0, 1e6))?.text ?? "";
}

const event = (more: Partial<ClientEvent> = {}): ClientEvent => ({
  kind: "connected",
  clientId: "c1",
  username: "ann",
  address: "10.0.0.7",
  tcpPort: 5000,
  details: { version: 5 },
  ...more,
});

test("a client's trace has its events, messages both ways and losses, and nobody else's", async () => {
  expect(traces.create(spec())).toBe("created");
  each((observer) => {
    observer.client(event());
    observer.client(event({ clientId: "other" }));
    observer.published(message("a/b", "hello", 1), "c1");
    observer.published(message("a/b", "other's"), "other");
    observer.published(message("a/b", "the gateway's own"), null);
    observer.sent("c1", message("x", "y"), 1, 3);
    observer.acked("c1", 3);
    observer.dropped("c1", "q", "queue_full");
  });
  const at = "2026-01-01T00:00:00.000Z";
  const who = "c1@::ffff:10.0.0.7:5000";
  expect((await textOf()).split("\n")).toEqual([
    `${at} [MQTT] c1@10.0.0.7:5000 msg: mqtt_connected, username: ann, version: 5`,
    `${at} [PUBLISH] ${who} msg: publish_to, topic: a/b, qos: 1, retain: 0, bytes: 5, payload: hello`,
    `${at} [DELIVER] ${who} msg: delivered, topic: x, qos: 1, retain: 0, bytes: 1, payload: y`,
    `${at} [MQTT] ${who} msg: acknowledged`,
    `${at} [DROP] ${who} msg: message_dropped, topic: q, reason: queue_full`,
    "",
  ]);
});

test("a topic's trace takes a filter, and an address's finds IPv4 on any socket", async () => {
  traces.create(spec({ name: "topic", kind: "topic", value: "a/+" }));
  traces.create(spec({ name: "ip", kind: "ip_address", value: "10.0.0.7" }));
  traces.create(spec({ name: "other", kind: "ip_address", value: "10.0.0.8" }));
  each((observer) => {
    observer.published(message("a/b", "1"), null);
    observer.published(message("b", "2"), "c1");
    observer.published(message("b", "3"), "gone");
  });
  expect(await textOf("topic")).toContain("payload: 1");
  expect(await textOf("topic")).not.toContain("payload: 2");
  expect(await textOf("ip")).toContain("payload: 2");
  expect(await textOf("ip")).not.toContain("payload: 3");
  expect(await textOf("other")).toBe("");
});

test("payloads are shown as text, as hex, cut, or not at all, and lines may be JSON", async () => {
  traces.create(spec({ name: "hex", payloadEncode: "hex", payloadLimit: 3 }));
  traces.create(spec({ name: "hidden", value: "c2", payloadEncode: "hidden", formatter: "json" }));
  each((observer) => {
    observer.published(message("t", "abcdef"), "c1");
    observer.published(message("t", "secret"), "c2");
  });
  expect(await textOf("hex")).toContain("payload: 616263... 3 bytes more");
  const line = JSON.parse(await textOf("hidden"));
  expect(line).toMatchObject({
    tag: "PUBLISH",
    msg: "publish_to",
    meta: { clientid: "c2", topic: "t", payload: "******" },
  });
});

test("nobody can write lines of his own into a trace", async () => {
  traces.create(spec());
  each((observer) => observer.published(message("t", "a\n2026 [FORGED]\r\u2028\u007fb"), "c1"));
  const text = await textOf();
  expect(text.trimEnd().split(/[\n\r\u2028]/)).toHaveLength(1);
  expect(text).toContain("payload: a\\n2026 [FORGED]\\r");
});

test("a trace waits for its start, ends by itself, and nothing watches before and after", async () => {
  traces.create(spec({ startAtMs: START_MS + 5000, endAtMs: START_MS + 10_000 }));
  expect(traces.find("t1")?.status).toBe("waiting");
  expect(observers.size).toBe(0);
  clock.advance(5000);
  expect(traces.find("t1")?.status).toBe("running");
  each((observer) => observer.published(message("t", "x"), "c1"));
  expect(await traces.read("t1", 0, 1000)).toMatchObject({ isEnd: false });
  clock.advance(5000);
  expect(traces.find("t1")?.status).toBe("stopped");
  expect(observers.size).toBe(0);
  expect(await traces.read("t1", 0, 1000)).toMatchObject({ isEnd: true });
});

test("names, conditions and their number are bounded", async () => {
  expect(traces.create(spec())).toBe("created");
  expect(traces.create(spec({ value: "c2" }))).toBe("exists");
  expect(traces.create(spec({ name: "t2" }))).toBe("duplicate");
  traces.end("t1");
  expect(traces.create(spec({ name: "t2" }))).toBe("created");
  for (let i = 3; i <= 30; i++) traces.create(spec({ name: `t${i}`, value: `c${i}` }));
  expect(traces.list()).toHaveLength(30);
  expect(traces.create(spec({ name: "t31", value: "c31" }))).toBe("full");
  expect(traces.end("unknown")).toBe(false);
  expect(await traces.remove("unknown")).toBe(false);
  expect(await traces.read("unknown", 0, 1)).toBeNull();
});

test("a file has its full size at 8 MB: the trace says so and ends", async () => {
  traces.create(spec({ payloadLimit: 100_000 }));
  const large = "x".repeat(100_000);
  for (let i = 0; i < 100; i++) {
    each((observer) => observer.published(message("t", large), "c1"));
    clock.advance(1000);
    await traces.read("t1", 0, 1);
  }
  expect(traces.find("t1")).toMatchObject({ status: "stopped" });
  const { sizeBytes = 0 } = traces.find("t1") ?? {};
  expect(sizeBytes).toBeGreaterThan(8_300_000);
  expect(sizeBytes).toBeLessThan(8_388_700);
  const end = await traces.read("t1", sizeBytes - 60, 100);
  expect(end?.text).toContain("the file has its full size, the trace ends");
});

test("more lines at once than fit into memory are left out, and counted", async () => {
  traces.create(spec());
  const payload = "x".repeat(1000);
  for (let i = 0; i < 1000; i++)
    each((observer) => observer.published(message("t", payload), "c1"));
  const text = await textOf();
  const left = Number(/(\d+) lines were left out/.exec(text)?.[1]);
  expect(left).toBeGreaterThan(500);
  expect(text.split("\n")).toHaveLength(1000 - left + 2);
});

test("it is read in pieces of whole characters", async () => {
  traces.create(spec());
  each((observer) => observer.published(message("t", "größe 温度 🚀".repeat(20)), "c1"));
  const whole = await textOf();
  let text = "";
  for (let position = 0; ; ) {
    const part = await traces.read("t1", position, 7);
    if (part === null || part.text === "") break;
    text += part.text;
    position = part.position;
  }
  expect(text).toBe(whole);
});

test("traces outlive a restart with what they wrote, and stray files do not", async () => {
  traces.create(spec());
  traces.create(spec({ name: "ended", value: "c2" }));
  traces.end("ended");
  each((observer) => observer.published(message("t", "before"), "c1"));
  await traces.stop();
  await writeFile(join(path, "stray"), "x");
  table.put("broken", Buffer.from("{"));
  traces = open();
  await traces.start();
  expect([...table.rows.keys()]).toEqual(["t1", "ended"]);
  expect(traces.list().map(({ spec: { name }, status }) => [name, status])).toEqual([
    ["t1", "running"],
    ["ended", "stopped"],
  ]);
  each((observer) => observer.published(message("t", "after"), "c1"));
  expect(await textOf()).toMatch(/before\n.*after\n$/);
  expect(await readdir(path)).toHaveLength(1);
  expect(await traces.remove("t1")).toBe(true);
  expect(await readdir(path)).toEqual([]);
  expect(table.rows.has("t1")).toBe(false);
});
