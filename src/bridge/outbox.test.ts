import { describe, expect, it } from "vitest";
import { topic } from "../mqtt/index.ts";
import { ManualClock } from "../time/index.ts";
import { createMemoryOutbox, type OutboundMessage, type Outbox } from "./outbox.ts";

function message(text: string): OutboundMessage {
  return { topic: topic("t"), payload: Buffer.from(text), qos: 1, retain: false };
}

function outbox(maxMessages: number, maxBytes = 1_000_000): Outbox {
  return createMemoryOutbox({ clock: new ManualClock() }, { maxMessages, maxBytes });
}

async function texts(box: Outbox, afterSeq = 0, limit = 1000): Promise<string[]> {
  return (await box.take(afterSeq, limit)).map((entry) => entry.message.payload.toString());
}

async function fill(box: Outbox, from: number, to: number): Promise<void> {
  for (let i = from; i <= to; i++) await box.append(message(String(i)));
}

describe("outbox in memory", () => {
  it("hands messages out in order, and again until they are removed", async () => {
    const box = outbox(10);
    await fill(box, 1, 4);
    const first = await box.take(0, 2);
    expect(first.map((entry) => entry.message.payload.toString())).toEqual(["1", "2"]);
    expect(await texts(box, first[1]?.seq)).toEqual(["3", "4"]);
    expect(await texts(box)).toEqual(["1", "2", "3", "4"]);
    for (const entry of first) box.remove(entry.seq);
    expect(await texts(box)).toEqual(["3", "4"]);
    expect(box.status()).toMatchObject({ messages: 2, bytes: 4 });
  });

  it("drops the oldest at the bound of messages and counts it", async () => {
    const box = outbox(3);
    await fill(box, 1, 5);
    expect(await texts(box)).toEqual(["3", "4", "5"]);
    expect(box.status()).toEqual({
      messages: 3,
      bytes: 6,
      oldestAgeMs: 0,
      dropped: { queue_full: 2, too_large: 0 },
    });
  });

  it("drops the oldest at the bound of bytes, as many as it takes", async () => {
    const box = outbox(100, 12);
    await fill(box, 1, 5);
    await box.append(message("12345678"));
    expect(await texts(box)).toEqual(["5", "12345678"]);
    expect(box.status()).toMatchObject({ bytes: 11, dropped: { queue_full: 4 } });
  });

  it("a message larger than the whole outbox is dropped alone", async () => {
    const box = outbox(100, 12);
    await fill(box, 1, 2);
    await box.append(message("x".repeat(12)));
    expect(await texts(box)).toEqual(["1", "2"]);
    expect(box.status().dropped).toEqual({ queue_full: 0, too_large: 1 });
  });

  it("what is on its way is not dropped: the oldest that waits gives way", async () => {
    const box = outbox(4);
    await fill(box, 1, 4);
    expect(await texts(box, 0, 2)).toEqual(["1", "2"]);
    await fill(box, 5, 7);
    expect(await texts(box)).toEqual(["1", "2", "6", "7"]);
  });

  it("a full outbox that is all on its way turns the newest away", async () => {
    const box = outbox(2);
    await fill(box, 1, 2);
    await texts(box);
    await fill(box, 3, 3);
    expect(await texts(box)).toEqual(["1", "2"]);
    expect(box.status()).toMatchObject({ messages: 2, dropped: { queue_full: 1 } });
  });

  it("does not keep the chunk alive that a payload was cut from", async () => {
    const box = outbox(2);
    const chunk = Buffer.alloc(65_536, "x");
    await box.append({ ...message(""), payload: chunk.subarray(0, 5) });
    const [entry] = await box.take(0, 1);
    expect(entry?.message.payload.toString()).toBe("xxxxx");
    expect(entry?.message.payload.buffer.byteLength).toBeLessThan(65_536);
  });

  it("200 000 messages through a full queue of 50 000 take well under two seconds", async () => {
    const box = outbox(50_000);
    const startedMs = performance.now();
    await fill(box, 1, 200_000);
    let last = 0;
    for (;;) {
      const batch = await box.take(last, 32);
      if (batch.length === 0) break;
      for (const entry of batch) {
        last = entry.seq;
        box.remove(entry.seq);
      }
    }
    expect(performance.now() - startedMs).toBeLessThan(2000);
    expect(box.status()).toMatchObject({ messages: 0, bytes: 0 });
  });
});
