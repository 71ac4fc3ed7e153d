import { Duplex, duplexPair } from "node:stream";
import mqttPacket, { type Packet } from "mqtt-packet";
import { expect, test } from "vitest";
import { createBroker } from "./index.ts";
import { connectFrame, Rig, until } from "./rig.testing.ts";
import { WireClient } from "./wire.testing.ts";

async function withRig(
  body: (rig: Rig) => Promise<void>,
  options: Parameters<typeof Rig.start>[1] = {},
): Promise<void> {
  const rig = await Rig.start(createBroker, options);
  try {
    await body(rig);
  } finally {
    await rig.close();
  }
}

function packetsOf(stream: Duplex): Packet[] {
  const packets: Packet[] = [];
  const parser = mqttPacket.parser({ protocolVersion: 4 });
  parser.on("packet", (packet: Packet) => void packets.push(packet));
  stream.on("data", (chunk: Buffer) => void parser.parse(chunk));
  return packets;
}

const send = (stream: Duplex, packet: Packet) => stream.write(mqttPacket.generate(packet));

test("a stream that is no socket is served like one, large payloads and its end included", () =>
  withRig(async (rig) => {
    const [here, there] = duplexPair();
    rig.serve(there);
    const packets = packetsOf(here);
    here.write(connectFrame("pair"));
    send(here, { cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "t", qos: 1 }] });
    await until(() => packets.some(({ cmd }) => cmd === "suback"));
    for (const size of [1, 1000, 100_000, 500_000]) {
      await rig.publish("t", "x".repeat(size), { qos: 0 });
    }
    const sizes = () =>
      packets.flatMap((packet) => (packet.cmd === "publish" ? [packet.payload.length] : []));
    await until(() => sizes().length === 4);
    expect(sizes()).toEqual([1, 1000, 100_000, 500_000]);
    expect(rig.broker.client("pair")).toMatchObject({ isConnected: true, listener: "test" });
    here.end();
    await until(() => rig.broker.client("pair") === undefined);
  }));

test("a stream that takes nothing holds bounded memory, and is cut off", () =>
  withRig(
    async (rig) => {
      let held = 0;
      const stream = new Duplex({
        read: () => undefined,
        write: (chunk: Buffer, _encoding, done) => {
          held += chunk.length;
          if (held < 100) done();
        },
      });
      rig.serve(stream);
      stream.push(connectFrame("deaf"));
      stream.push(
        mqttPacket.generate({
          cmd: "subscribe",
          messageId: 1,
          subscriptions: [{ topic: "t", qos: 0 }],
        }),
      );
      await until(() => [...rig.broker.subscriptions()].length === 1);
      await until(async () => {
        await rig.publish("t", "x".repeat(10_000));
        return rig.broker.client("deaf") === undefined;
      });
      expect(stream.writableLength).toBeLessThan(4_000_000);
      await until(() => stream.destroyed);
    },
    { mqtt: { stalled_reader_s: 1 } },
  ));

test("a stream that fails ends its client alone, with its will", () =>
  withRig(async (rig) => {
    const seen = rig.listen("w");
    const [here, there] = duplexPair();
    rig.serve(there);
    const will = { topic: "w", payload: Buffer.from("gone"), qos: 0, retain: false } as const;
    send(here, {
      cmd: "connect",
      clientId: "c",
      protocolId: "MQTT",
      protocolVersion: 4,
      clean: true,
      will,
    });
    await until(() => rig.broker.client("c")?.isConnected === true);
    there.destroy(new Error("broken"));
    await until(() => seen.length === 1);
    expect(rig.broker.client("c")).toBeUndefined();
  }));

test("the time for a CONNECT counts from when the listener accepted the connection", () =>
  withRig(
    async (rig) => {
      const [late, lateEnd] = duplexPair();
      const [early] = duplexPair();
      rig.serve(late, { acceptedMs: performance.now() - 9500 });
      rig.serve(early, { acceptedMs: performance.now() });
      lateEnd.resume();
      const startMs = performance.now();
      await until(() => late.destroyed || late.writableEnded);
      expect(performance.now() - startMs).toBeLessThan(5000);
      expect(early.destroyed || early.writableEnded).toBe(false);
    },
    { mqtt: { connect_timeout_s: 10 } },
  ));

test("2,000 connects at once are all served, and a client that is there does not wait for them", () =>
  withRig(async (rig) => {
    const canary = await WireClient.connect(rig.tcpPort, "canary");
    let isOver = false;
    let worstMs = 0;
    const singing = (async () => {
      while (!isOver) {
        const startMs = process.threadCpuUsage();
        await canary.settle();
        const { user, system } = process.threadCpuUsage(startMs);
        worstMs = Math.max(worstMs, (user + system) / 1000);
      }
    })();
    const packets = Array.from({ length: 2000 }, (_, n) => {
      const [here, there] = duplexPair();
      rig.serve(there);
      here.write(connectFrame(`c${n}`));
      return packetsOf(here);
    });
    await until(() => packets.every(([first]) => first?.cmd === "connack"));
    isOver = true;
    await singing;
    expect([...rig.broker.clients()]).toHaveLength(2001);
    expect(worstMs).toBeLessThan(500);
  }));
