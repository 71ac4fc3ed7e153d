import { describe, expect, it } from "vitest";
import { type MessageProperties, type Outbox, type QoS, topic } from "../mqtt/index.ts";
import { ManualClock } from "../time/index.ts";
import type { PublishResult } from "./connection.ts";
import { Delivery, type PublishingConnection } from "./delivery.ts";
import { Meter } from "./meter.ts";
import { TestOutbox } from "./outbox.testing.ts";
import { LAST_DATA_ID } from "./packet-ids.ts";
import type { PublishPacket } from "./publish-frame.ts";
import { DEFAULT_LIMITS, type ServerLimits } from "./server-limits.ts";
import { Tallies } from "./tally.ts";

/** The far end of a connection, answering when a test says so. */
class TestConnection implements PublishingConnection {
  readonly sent: PublishPacket[] = [];
  readonly released: number[] = [];
  readonly failures: string[] = [];
  readonly limits: ServerLimits;
  readonly isSessionPresent: boolean;
  backlogBytes = 0;
  /** Whether what is published stays in the backlog. */
  keepsBytes = false;
  onFail: () => void = () => {};
  readonly #waiting = new Map<number, (result: PublishResult) => void>();

  constructor(isSessionPresent = false, limits: Partial<ServerLimits> = {}) {
    this.isSessionPresent = isSessionPresent;
    this.limits = { ...DEFAULT_LIMITS, ...limits };
  }

  publish(packet: PublishPacket, onResult: (result: PublishResult) => void): void {
    this.sent.push(packet);
    this.backlogBytes += this.keepsBytes ? packet.payload.length : 0;
    if (packet.qos > 0) this.#waiting.set(packet.packetId, onResult);
  }

  release(packetId: number, onComplete: () => void): void {
    this.released.push(packetId);
    this.#waiting.set(packetId, onComplete);
  }

  fail(reason: string): void {
    this.failures.push(reason);
    this.onFail();
  }

  answer(packetId: number, result: PublishResult = { isAccepted: true }): void {
    const waiting = this.#waiting.get(packetId);
    if (waiting === undefined) throw new Error(`nothing waits for ${packetId}`);
    this.#waiting.delete(packetId);
    waiting(result);
  }

  /** Identifiers that wait for an answer. */
  open(): number[] {
    return [...this.#waiting.keys()];
  }

  texts(): string[] {
    return this.sent.map((packet) => packet.payload.toString());
  }
}

class Bench {
  readonly clock = new ManualClock();
  readonly outbox: Outbox;
  readonly shortcuts: Map<string, number>;
  readonly delivery: Delivery;
  readonly refusals: string[] = [];
  readonly #cfg: ConstructorParameters<typeof Delivery>[1];

  constructor(maxInflight = 3, protocolVersion: 4 | 5 = 4, maxMessagesPerS = 0) {
    const outbox = new TestOutbox(this.clock);
    this.outbox = outbox;
    this.shortcuts = outbox.shortcuts;
    const ackTimeoutMs = 60_000;
    this.#cfg = { protocolVersion, maxInflight, ackTimeoutMs, maxMessagesPerS, maxPatienceMs: 200 };
    this.delivery = this.successor();
  }

  /** What a new process would deliver the same outbox with. */
  successor(): Delivery {
    return new Delivery(
      {
        clock: this.clock,
        outbox: this.outbox,
        tallies: new Tallies(this.clock),
        out: new Meter(this.clock),
        onRefused: (reason) => this.refusals.push(reason),
      },
      this.#cfg,
    );
  }

  async add(text: string, qos: QoS = 1, properties?: MessageProperties, name = "t"): Promise<void> {
    const message = {
      topic: topic(name),
      payload: Buffer.from(text),
      qos,
      retain: true,
      ...(properties !== undefined && { properties }),
    };
    await this.outbox.append(message, 1, this.delivery.isAttached);
    this.delivery.pump();
    await settle();
  }

  async attach(connection = new TestConnection()): Promise<TestConnection> {
    connection.onFail = () => this.delivery.detach();
    this.delivery.attach(connection, "cloud:1883");
    await settle();
    return connection;
  }
}

/** Lets the outbox's promises, which wait for nothing, resolve. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

function idOf(connection: TestConnection, text: string): number {
  const packet = connection.sent.find((it) => it.payload.toString() === text);
  if (packet === undefined) throw new Error(`${text} was not sent`);
  return packet.packetId;
}

describe("patience with the cloud", () => {
  async function answered(bench: Bench, cloud: TestConnection, text: string, afterMs: number) {
    await bench.add(text);
    bench.clock.advance(afterMs);
    cloud.answer(idOf(cloud, text));
    await settle();
  }

  it("is twice what its acknowledgements take, once that is known, and not over the bound", async () => {
    const bench = new Bench();
    const cloud = await bench.attach();
    expect(bench.delivery.patienceMs).toBe(1);
    await answered(bench, cloud, "a", 40);
    expect(bench.delivery.patienceMs).toBe(80);
    // One late one is no reason to give up, many are.
    await answered(bench, cloud, "b", 200);
    expect(bench.delivery.patienceMs).toBe(120);
    for (let n = 0; n < 5; n++) await answered(bench, cloud, `c${n}`, 190);
    expect(bench.delivery.patienceMs).toBe(200);
    for (let n = 0; n < 20; n++) await answered(bench, cloud, `d${n}`, 300);
    expect(bench.delivery.patienceMs).toBe(1);
    bench.delivery.detach();
    const next = await bench.attach();
    expect(bench.delivery.patienceMs).toBe(1);
    await answered(bench, next, "e", 10);
    expect(bench.delivery.patienceMs).toBe(20);
  });

  it("ends while acknowledgements are overdue, and while the window is full", async () => {
    const bench = new Bench(3);
    const cloud = await bench.attach();
    await answered(bench, cloud, "a", 40);
    await bench.add("b");
    bench.clock.advance(201);
    expect(bench.delivery.patienceMs).toBe(1);
    cloud.answer(idOf(cloud, "b"));
    await settle();
    expect(bench.delivery.patienceMs).toBeGreaterThan(80);
    for (const text of ["c", "d", "e"]) await bench.add(text);
    expect(bench.delivery.patienceMs).toBe(1);
  });
});

describe("delivery to the cloud", () => {
  it("keeps at most maxInflight messages unacknowledged, in order", async () => {
    const bench = new Bench(3);
    const cloud = await bench.attach();
    for (const text of ["1", "2", "3", "4", "5"]) await bench.add(text);
    expect(cloud.texts()).toEqual(["1", "2", "3"]);
    cloud.answer(idOf(cloud, "2"));
    await settle();
    expect(cloud.texts()).toEqual(["1", "2", "3", "4"]);
    for (const text of ["1", "3", "4"]) cloud.answer(idOf(cloud, text));
    await settle();
    cloud.answer(idOf(cloud, "5"));
    expect(bench.outbox.status().messages).toBe(0);
    expect(bench.delivery.forwarded).toBe(5);
  });

  it("sends a backlog at the configured pace, in order", async () => {
    const bench = new Bench(1000, 4, 100);
    for (let n = 0; n < 300; n++) await bench.add(String(n));
    const cloud = await bench.attach();
    expect(cloud.texts().length).toBeLessThanOrEqual(10);
    for (let ms = 0; ms < 1000; ms += 10) {
      bench.clock.advance(10);
      await settle();
    }
    expect(cloud.texts().length).toBeGreaterThan(95);
    expect(cloud.texts().length).toBeLessThan(115);
    expect(cloud.texts()).toEqual(cloud.texts().map((_, n) => String(n)));
  });

  it("a smaller Receive Maximum of the server counts [MQTT-3.3.4-9]", async () => {
    const bench = new Bench(10);
    const cloud = await bench.attach(new TestConnection(false, { receiveMaximum: 2 }));
    for (const text of ["1", "2", "3"]) await bench.add(text);
    expect(cloud.texts()).toEqual(["1", "2"]);
  });

  it("after a reconnect the unacknowledged come first, in order, before anything newer", async () => {
    const bench = new Bench(3);
    const first = await bench.attach();
    for (const text of ["1", "2", "3", "4"]) await bench.add(text);
    first.answer(idOf(first, "2"));
    bench.delivery.detach();
    await bench.add("5");
    const second = await bench.attach();
    for (const text of ["1", "3", "4", "5"]) {
      second.answer(idOf(second, text));
      await settle();
    }
    expect(second.texts()).toEqual(["1", "3", "4", "5"]);
    expect(() => first.answer(idOf(first, "1"))).not.toThrow();
    expect(bench.delivery.forwarded).toBe(5);
  });

  it("with the session gone they are new messages: DUP 0", async () => {
    const bench = new Bench();
    await bench.attach();
    await bench.add("1");
    bench.delivery.detach();
    const second = await bench.attach(new TestConnection(false));
    expect(second.sent).toMatchObject([{ dup: false }]);
  });

  it("with the session kept they have DUP 1 and their identifier [MQTT-3.3.1-1], [MQTT-4.4.0-1]", async () => {
    const bench = new Bench();
    const first = await bench.attach();
    await bench.add("1");
    bench.delivery.detach();
    await bench.add("2");
    const second = await bench.attach(new TestConnection(true));
    expect(second.sent).toMatchObject([
      { dup: true, packetId: idOf(first, "1") },
      { dup: false, packetId: idOf(first, "1") + 1 },
    ]);
  });

  it("PUBREL is sent when PUBREC has been noted durably, and the note outlives the process", async () => {
    const bench = new Bench();
    const noted = Promise.withResolvers<void>();
    const note = bench.outbox.setReceived.bind(bench.outbox);
    bench.outbox.setReceived = (seq, isReceived) => noted.promise.then(() => note(seq, isReceived));
    const cloud = await bench.attach(new TestConnection(true));
    await bench.add("1", 2);
    const id = idOf(cloud, "1");
    bench.delivery.received(id);
    bench.delivery.received(id);
    await settle();
    expect(cloud.released).toEqual([]);
    noted.resolve();
    await settle();
    expect(cloud.released).toEqual([id]);

    const next = bench.successor();
    const knows = new TestConnection(true);
    next.attach(knows, "cloud:1883");
    await settle();
    expect([knows.texts(), knows.released]).toEqual([[], [id]]);

    const forgotten = bench.successor();
    const fresh = new TestConnection(false);
    forgotten.attach(fresh, "cloud:1883");
    await settle();
    expect([fresh.texts(), fresh.released]).toEqual([["1"], []]);
    const [entry] = await bench.outbox.take(0, 1);
    expect(entry?.isReceived).toBe(false);
  });

  it("a note that cannot be made ends the connection, and the message comes again", async () => {
    const bench = new Bench();
    const cloud = await bench.attach(new TestConnection(true));
    await bench.add("1", 2);
    bench.outbox.setReceived = () => Promise.reject(new Error("ENOSPC"));
    bench.delivery.received(idOf(cloud, "1"));
    await settle();
    expect(cloud.failures).toEqual(["the outbox cannot be written: ENOSPC"]);
    const second = await bench.attach(new TestConnection(true));
    expect(second.sent).toMatchObject([{ dup: true }]);
  });

  it("a QoS 2 message the cloud has received is only released again [MQTT-4.3.3-6]", async () => {
    const bench = new Bench();
    const first = await bench.attach();
    await bench.add("1", 2);
    await bench.add("2", 2);
    bench.delivery.received(idOf(first, "1"));
    bench.delivery.detach();
    const second = await bench.attach(new TestConnection(true));
    expect(second.released).toEqual([idOf(first, "1")]);
    expect(second.texts()).toEqual(["2"]);
    second.answer(idOf(first, "1"));
    second.answer(idOf(first, "2"));
    expect(bench.outbox.status().messages).toBe(0);
  });

  it("before MQTT 5.0 at most 20 QoS 2 messages are on their way, what follows them waits", async () => {
    const bench = new Bench(100);
    const cloud = await bench.attach();
    for (let i = 1; i <= 30; i++) await bench.add(String(i), i === 25 ? 1 : 2);
    expect(cloud.sent).toHaveLength(20);
    for (let i = 1; i <= 5; i++) cloud.answer(idOf(cloud, String(i)));
    await settle();
    expect(cloud.texts().at(-1)).toBe("26");
  });

  it("a young connection that breaks halves the window; one that lasts brings it back", async () => {
    const bench = new Bench(8);
    for (let i = 1; i <= 20; i++) await bench.add(String(i));
    for (const window of [8, 4, 2, 1, 1]) {
      const cloud = await bench.attach();
      expect(cloud.sent).toHaveLength(window);
      bench.delivery.detach();
    }
    const lasting = await bench.attach();
    bench.clock.advance(30_000);
    lasting.answer(idOf(lasting, "1"));
    await settle();
    expect(lasting.texts()).toEqual(["1", "2"]);
    bench.clock.advance(30_000);
    await settle();
    expect(lasting.sent).toHaveLength(9);
  });

  it("no identifier is used while an older message has it", async () => {
    const bench = new Bench(65_535);
    for (let i = 1; i <= LAST_DATA_ID + 10; i++) {
      await bench.outbox.append({
        topic: topic("t"),
        payload: Buffer.from(String(i)),
        qos: 1,
        retain: false,
      });
    }
    const cloud = await bench.attach();
    expect(cloud.sent).toHaveLength(LAST_DATA_ID);
    cloud.answer(idOf(cloud, "2"));
    await settle();
    expect(cloud.sent).toHaveLength(LAST_DATA_ID);
    cloud.answer(idOf(cloud, "1"));
    await settle();
    expect(cloud.sent).toHaveLength(LAST_DATA_ID + 2);
  });

  it("QoS 0 goes at once, and is dropped and counted without link or room", async () => {
    const bench = new Bench();
    const message = {
      topic: topic("t"),
      payload: Buffer.from("x"),
      qos: 0,
      retain: false,
    } as const;
    bench.delivery.sendAtOnce(message);
    const cloud = await bench.attach();
    bench.delivery.sendAtOnce(message);
    cloud.backlogBytes = 2_000_000;
    bench.delivery.sendAtOnce(message);
    expect(cloud.texts()).toEqual(["x"]);
    expect(bench.delivery.dropped).toMatchObject({ link_down: 1, link_slow: 1 });
    expect(bench.delivery.forwarded).toBe(1);
  });

  it("a network that does not take the bytes stops the sending until they have left", async () => {
    const bench = new Bench();
    const cloud = await bench.attach();
    cloud.backlogBytes = 600_000;
    await bench.add("1");
    expect(cloud.texts()).toEqual([]);
    cloud.backlogBytes = 0;
    bench.delivery.pump();
    await settle();
    expect(cloud.texts()).toEqual(["1"]);

    cloud.answer(idOf(cloud, "1"));
    cloud.keepsBytes = true;
    for (let i = 0; i < 3; i++) await bench.add("x".repeat(400_000));
    expect(cloud.sent).toHaveLength(3);
  });

  it("the time a message waited is taken off its expiry, and it is dropped when none is left", async () => {
    const bench = new Bench(10, 5);
    await bench.add("short", 1, { messageExpiryInterval: 10 });
    await bench.add("long", 1, { messageExpiryInterval: 100 });
    bench.clock.advance(30_500);
    const cloud = await bench.attach();
    expect(cloud.texts()).toEqual(["long"]);
    expect(cloud.sent[0]?.properties).toEqual({ messageExpiryInterval: 70 });
    expect(bench.delivery.dropped).toMatchObject({ expired: 1 });
  });

  it("what the server says it takes is kept to: QoS, retain, packet size", async () => {
    const bench = new Bench(10, 5);
    const limits = { maximumQos: 0, isRetainAvailable: false, maximumPacketBytes: 100 } as const;
    const cloud = await bench.attach(new TestConnection(false, limits));
    await bench.add("x".repeat(94), 2);
    await bench.add("y".repeat(95), 2);
    expect(cloud.sent).toMatchObject([{ qos: 0, retain: false, payload: Buffer.alloc(94, "x") }]);
    expect(bench.delivery.dropped).toMatchObject({ server_packet_size: 1 });
    expect(bench.outbox.status().messages).toBe(0);
  });

  it("a message the cloud refuses is dropped and counted, and the next one sent", async () => {
    const bench = new Bench(1, 5);
    const cloud = await bench.attach();
    await bench.add("1");
    await bench.add("2");
    cloud.answer(idOf(cloud, "1"), { refusal: 0x87 });
    await settle();
    expect(cloud.texts()).toEqual(["1", "2"]);
    expect(bench.delivery.dropped).toMatchObject({ refused: 1 });
    expect(bench.refusals).toEqual(["message refused by the cloud: not authorised (0x87)"]);
  });

  it("a refusal that may pass ends the connection, twice, before the message is given up", async () => {
    const bench = new Bench(1, 5);
    await bench.add("1");
    for (const round of [1, 2]) {
      const cloud = await bench.attach();
      cloud.answer(idOf(cloud, "1"), { refusal: 0x97 });
      expect(cloud.failures, `round ${round}`).toEqual([
        "message refused by the cloud: quota exceeded (0x97)",
      ]);
      expect(bench.outbox.status().messages).toBe(1);
    }
    const cloud = await bench.attach();
    cloud.answer(idOf(cloud, "1"), { refusal: 0x97 });
    expect(cloud.failures).toEqual([]);
    expect(bench.delivery.dropped).toMatchObject({ refused: 1 });
  });

  it("a cloud that acknowledges nothing for a minute is given up, one that is slow is not", async () => {
    const bench = new Bench();
    const cloud = await bench.attach();
    await bench.add("1");
    await bench.add("2");
    bench.clock.advance(50_000);
    cloud.answer(idOf(cloud, "1"));
    bench.clock.advance(50_000);
    expect(cloud.failures).toEqual([]);
    bench.clock.advance(30_000);
    expect(cloud.failures).toEqual(["no acknowledgement for 1 messages in 60 s"]);
    bench.clock.advance(600_000);
    expect(cloud.failures).toHaveLength(1);
  });

  it("what goes past a backlog is sent as soon as there is room, and the backlog goes on", async () => {
    const bench = new Bench(4);
    for (let n = 0; n < 40; n++) await bench.add(`old ${n}`);
    const cloud = await bench.attach();
    bench.shortcuts.set("live", 1);
    for (let n = 0; n < 30; n++) await bench.add(`live ${n}`, 1, undefined, "live");
    expect(cloud.texts()).toEqual(["old 0", "old 1", "old 2", "old 3"]);
    while (cloud.texts().length < 20) {
      for (const packetId of cloud.open()) {
        cloud.answer(packetId);
        await settle();
      }
    }
    const texts = cloud.texts().slice(4);
    const [live, old] = [/live/, /old/].map((kind) => texts.filter((text) => kind.test(text)));
    // Both are in order; the backlog gets an eighth.
    expect(live).toEqual(live?.map((_, n) => `live ${n}`));
    expect(old).toEqual(old?.map((_, n) => `old ${n + 4}`));
    expect(live?.length).toBeGreaterThan(10);
    expect(old?.length).toBeGreaterThan(0);
  });

  it("after a reconnect each lane goes on with its oldest, under the identifiers of before", async () => {
    const bench = new Bench(6);
    await bench.add("old 0");
    const before = await bench.attach();
    bench.shortcuts.set("live", 2);
    await bench.add("live 0", 2, undefined, "live");
    await bench.add("old 1");
    await bench.add("live 1", 2, undefined, "live");
    before.answer(idOf(before, "old 0"));
    bench.delivery.detach();
    const after = await bench.attach(new TestConnection(true));
    const live = after.sent.filter(({ topic: name }) => name === "live");
    expect(live.map(({ payload, dup }) => [payload.toString(), dup])).toEqual([
      ["live 0", true],
      ["live 1", true],
    ]);
    expect(idOf(after, "live 0")).toBe(idOf(before, "live 0"));
    expect(new Set(after.sent.map(({ packetId }) => packetId)).size).toBe(3);
    expect(live.every(({ packetId }) => packetId > LAST_DATA_ID)).toBe(true);
    expect(bench.delivery.retried).toBe(3);
  });

  it("an outbox that cannot be read ends the connection, not the process", async () => {
    const bench = new Bench();
    await bench.add("1");
    bench.outbox.take = () => Promise.reject(new Error("EIO"));
    const cloud = await bench.attach();
    expect(cloud.failures).toEqual(["the outbox cannot be read: EIO"]);
  });
});
