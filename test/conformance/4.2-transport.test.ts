import assert from "node:assert/strict";
import { connectPacket, PINGREQ, publishPacket, subscribePacket } from "./packets.ts";
import { suite } from "./suite.ts";
import { bytes } from "./wire.ts";

const rule = suite();

rule("packets may come in any pieces {3.1.1 [MQTT-7.1.1-1]} {5.0 [MQTT-4.2.0-1]}", async (s) => {
  const client = await s.open();
  await client.trickle(connectPacket(s.version, { clientId: s.id("x") }));
  await client.expect("connack");
  const rest = bytes(
    subscribePacket(s.version, 1, [{ filter: s.topic(), qos: 2 }]),
    publishPacket(s.version, { topic: s.topic(), payload: "x".repeat(200), qos: 1, packetId: 2 }),
    PINGREQ,
  );
  await client.trickle(rest);
  const types: string[] = [];
  for (let i = 0; i < 4; i++) types.push((await client.next()).type);
  assert.deepEqual(types.toSorted(), ["pingresp", "puback", "publish", "suback"]);
});

rule(
  "any number of packets may come at once {3.1.1 [MQTT-7.1.1-1]} {5.0 [MQTT-4.2.0-1]}",
  async (s) => {
    const receiver = await s.connect();
    await receiver.subscribe({ filter: s.topic(), qos: 0 });
    const publisher = await s.open();
    const packets = [connectPacket(s.version, { clientId: s.id("x") })];
    const payloads = Array.from({ length: 100 }, (_, i) => `${i}${"x".repeat(i * 40)}`);
    for (const payload of payloads) {
      packets.push(publishPacket(s.version, { topic: s.topic(), payload }));
    }
    publisher.send(...packets);
    await receiver.messages(...payloads);
  },
);

rule("large messages arrive whole {3.1.1 [MQTT-7.1.1-1]} {5.0 [MQTT-4.2.0-1]}", async (s) => {
  const client = await s.connect();
  await client.subscribe(s.topic());
  for (const size of [32_767, 32_768, 65_536, 1_000_000]) {
    const payload = Buffer.alloc(size, size % 251);
    await client.publish({ topic: s.topic(), payload });
    assert((await client.message()).payload.equals(payload));
  }
});

rule(
  "the plain protocol is all a client needs, byte for byte {3.1.1 [MQTT-7.0.0-2]}",
  async (s) => {
    const client = await s.open();
    const exchanges: readonly [string, string][] = [
      ["100d00044d51545404020000000178", "20020000"],
      ["8206000100016101", "9003000101"],
      ["320700016100026869", "32070001610001686940020002"],
      ["40020001c000", "d000"],
      ["a2050003000161", "b0020003"],
      ["34050001610004", "50020004"],
      ["62020004", "70020004"],
      ["e000", ""],
    ];
    for (const [sent, expected] of exchanges) {
      client.send(Buffer.from(sent, "hex"));
      const found: string[] = [];
      while (found.join("").length < expected.length) {
        found.push((await client.next()).bytes.toString("hex"));
      }
      assert.equal(found.toSorted().join(""), expected);
    }
    await client.closed();
  },
);

rule(
  "the largest message the server takes reaches a client that names no Maximum Packet Size, whatever its version and identifiers add {5.0 [MQTT-4.5.0-1]}",
  { mqtt: { max_packet_size_bytes: 4096, client_max_packet_size_bytes: 4096 } },
  async (s) => {
    const receiver = await s.connect();
    await receiver.subscribe(s.topic(), { subscriptionIdentifiers: [268_435_455] });
    for (const version of ["3.1.1", "5.0"] as const) {
      const publisher = await s.open(version);
      await publisher.connect({ clientId: s.id(version) });
      const message = { topic: s.topic(), qos: 1, packetId: 1, payload: "x".repeat(2048) };
      const room = 4096 - publishPacket(version, message).length;
      const payload = "x".repeat(2048 + room);
      await publisher.publish({ ...message, payload });
      await receiver.messages(payload);
    }
  },
);
