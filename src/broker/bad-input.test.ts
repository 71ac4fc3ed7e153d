import { connect } from "node:net";
import mqttPacket, { type Packet } from "mqtt-packet";
import { expect, test } from "vitest";
import { createBroker } from "./index.ts";
import { Rig, until } from "./rig.testing.ts";
import { WireClient } from "./wire.testing.ts";

/** mulberry32: the same packets for the same seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const SEED = 20_261_121;
const CONNECTIONS = 600;
const PACKETS = 20;

const publish = { cmd: "publish", topic: "a/b", payload: "x", dup: false, retain: false } as const;

function samples(version: 4 | 5): Packet[] {
  const properties = version === 5 ? { userProperties: { a: "b" } } : {};
  return [
    { ...publish, qos: 0, properties },
    { ...publish, qos: 1, messageId: 1, properties: version === 5 ? { topicAlias: 3 } : {} },
    { ...publish, qos: 2, messageId: 2, retain: true, properties },
    { cmd: "subscribe", messageId: 3, subscriptions: [{ topic: "a/+/#", qos: 2 }], properties },
    { cmd: "unsubscribe", messageId: 4, unsubscriptions: ["a/+"], properties },
    { cmd: "puback", messageId: 5 },
    { cmd: "pubrec", messageId: 6 },
    { cmd: "pubrel", messageId: 7 },
    { cmd: "pubcomp", messageId: 8 },
    { cmd: "pingreq" },
  ];
}

test("thousands of mutated packets of both versions, whole and in pieces, harm nobody else", async () => {
  const rig = await Rig.start(createBroker);
  try {
    const next = random(SEED);
    const pick = (n: number) => Math.floor(next() * n);
    const witness = await WireClient.connect(rig.tcpPort, "witness");
    witness.isAnswering = true;
    await witness.subscribe("witness", 1);
    let worstMs = 0;
    for (let n = 0; n < CONNECTIONS; n++) {
      const version = n % 2 === 0 ? 4 : 5;
      const parts: Buffer[] = [
        mqttPacket.generate(
          {
            cmd: "connect",
            protocolId: "MQTT",
            protocolVersion: version,
            clean: pick(2) === 0,
            clientId: `c${pick(20)}`,
            keepalive: 0,
            ...(version === 5 ? { properties: { sessionExpiryInterval: pick(3) } } : {}),
          },
          { protocolVersion: version },
        ),
      ];
      const list = samples(version);
      for (let p = 0; p < PACKETS; p++) {
        const packet = list[pick(list.length)] ?? { cmd: "pingreq" };
        const bytes = Buffer.from(mqttPacket.generate(packet, { protocolVersion: version }));
        if (pick(4) === 0) bytes[pick(bytes.length)] = pick(256);
        parts.push(pick(20) === 0 ? bytes.subarray(0, pick(bytes.length)) : bytes);
      }
      const all = Buffer.concat(parts);
      const socket = connect(rig.tcpPort, "127.0.0.1");
      socket.on("error", () => undefined);
      socket.resume();
      const cut = pick(all.length);
      socket.write(all.subarray(0, cut));
      setImmediate(() => socket.end(all.subarray(cut)));
      if (n % 20 === 0) {
        const startMs = performance.now();
        await rig.publish("witness", `${n}`, { qos: 1 });
        await until(() => witness.texts.at(-1) === `${n}`);
        worstMs = Math.max(worstMs, performance.now() - startMs);
      }
    }
    expect(worstMs).toBeLessThan(1000);
    expect(witness.isClosed).toBe(false);
    const client = await WireClient.connect(rig.tcpPort, "after", {}, 4);
    await client.settle();
  } finally {
    await rig.close();
  }
});
