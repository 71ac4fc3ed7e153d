import { createHash } from "node:crypto";
import { PassThrough } from "node:stream";
import { connect, type IClientOptions, type MqttClient } from "mqtt";
import { expect, it } from "vitest";
import { createBroker } from "./index.ts";
import { ownsItsChunks, release } from "./release.ts";
import { Rig, until } from "./rig.testing.ts";

/** Sizes on both sides of every bound that decides how a payload is carried. */
const SIZES = [100, 5_000, 16_000, 17_000, 32_000, 33_000, 60_000, 70_000, 200_000];

/** A payload that tells its size, and bytes that cannot be others'. */
function payloadOf(index: number): Buffer {
  const payload = Buffer.alloc(SIZES[index % SIZES.length] ?? 0, index % 251);
  payload.writeUInt32BE(index);
  return payload;
}

it("delivers, queues and retains what was in chunks that are freed, byte by byte", async () => {
  const rig = await Rig.start(createBroker, { store: "leveldb" });
  const clients: MqttClient[] = [];
  /** Connects with its listener in place before a queue can arrive; answers with topics and digests. */
  function reader(options: IClientOptions): { client: MqttClient; seen: Map<string, string> } {
    const seen = new Map<string, string>();
    const client = connect({ host: "127.0.0.1", port: rig.tcpPort, ...options });
    clients.push(client);
    client.on("error", () => undefined);
    client.on("message", (topic, payload) => seen.set(topic, digest(payload)));
    return { client, seen };
  }
  try {
    const away = reader({ clientId: "away", clean: false });
    await away.client.subscribeAsync("t/#", { qos: 1 });
    await away.client.endAsync();
    const live = reader({});
    await live.client.subscribeAsync("t/#", { qos: 1 });
    const publisher = await rig.connect();
    const wanted = new Map<string, string>();
    const retained = new Map<string, string>();
    const sent: Promise<unknown>[] = [];
    for (let index = 0; index < 200; index++) {
      const payload = payloadOf(index);
      const retain = index % 3 === 0;
      wanted.set(`t/${index}`, digest(payload));
      if (retain) retained.set(`t/${index}`, digest(payload));
      sent.push(publisher.mqtt.publishAsync(`t/${index}`, payload, { qos: 1, retain }));
    }
    await Promise.all(sent);
    await until(() => live.seen.size === wanted.size);
    expect(live.seen).toEqual(wanted);

    await rig.restart();
    const late = reader({});
    await late.client.subscribeAsync("t/#", { qos: 1 });
    await until(() => late.seen.size === retained.size);
    expect(late.seen).toEqual(retained);
    const back = reader({ clientId: "away", clean: false });
    await until(() => back.seen.size === wanted.size);
    expect(back.seen).toEqual(wanted);
  } finally {
    for (const client of clients) client.end(true);
    await rig.close();
  }
});

it("frees nothing that may be somebody else's memory", () => {
  expect(ownsItsChunks(new PassThrough())).toBe(false);
  const larger = Buffer.alloc(100_000);
  release(larger.subarray(0, 50_000));
  expect(larger.length).toBe(100_000);
  const own = Buffer.from(new ArrayBuffer(50_000));
  release(own);
  expect(own.length).toBe(0);
});

function digest(payload: Buffer): string {
  return `${payload.length}:${createHash("sha1").update(payload).digest("hex")}`;
}
