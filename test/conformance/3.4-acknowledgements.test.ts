import assert from "node:assert/strict";
import { type AckType, ackPacket, publishPacket } from "./packets.ts";
import { type Scene, suite } from "./suite.ts";
import { frame, u16 } from "./wire.ts";

const rule = suite();
const noForbidden = { isAllowed: ({ topic }: { topic: string }) => !topic.includes("forbidden") };

/** Every acknowledgement the server has a reason to explain; the decoder checks code and size. */
async function explained(s: Scene, maximumPacketSize?: number): Promise<Record<string, number>> {
  const properties = maximumPacketSize === undefined ? {} : { maximumPacketSize };
  const client = await s.connect({ properties });
  const topic = "forbidden";
  const codes: Record<string, number> = {
    puback: await client.publish({ topic, qos: 1 }),
    pubrec: await client.publish({ topic, qos: 2 }),
  };
  client.send(ackPacket("pubrel", 500));
  codes["pubcomp"] = await client.acked("pubcomp", 500);
  client.send(ackPacket("pubrec", 501));
  codes["pubrel"] = await client.acked("pubrel", 501);
  codes["suback"] = (await client.subscribe(topic)).codes[0] ?? -1;
  codes["unsuback"] = (await client.unsubscribe(topic)).codes[0] ?? -1;
  return codes;
}

rule(
  "each acknowledgement has a Reason Code of its own kind {5.0 [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] [MQTT-3.9.3-2] [MQTT-3.11.3-2]}",
  noForbidden,
  async (s) => {
    assert.deepEqual(await explained(s), {
      puback: 0x87,
      pubrec: 0x87,
      pubrel: 0x92,
      pubcomp: 0x92,
      suback: 0x87,
      unsuback: 0x11,
    });
  },
);

rule(
  "no acknowledgement has a Reason String or User Property that makes it larger than the client takes {5.0 [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2] [MQTT-3.5.2-3] [MQTT-3.6.2-2] [MQTT-3.6.2-3] [MQTT-3.7.2-2] [MQTT-3.7.2-3] [MQTT-3.9.2-1] [MQTT-3.9.2-2] [MQTT-3.11.2-1] [MQTT-3.11.2-2]}",
  noForbidden,
  async (s) => {
    const whole = await explained(s);
    for (const maximumPacketSize of [16, 17, 18, 20, 24, 32]) {
      assert.deepEqual(await explained(s, maximumPacketSize), whole);
    }
  },
);

rule(
  "a Reason Code that a client's acknowledgement may not have closes the connection {5.0 [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]}",
  async (s) => {
    const wrong: readonly [AckType, number][] = [
      ["puback", 0x92],
      ["puback", 0x01],
      ["pubrec", 0x92],
      ["pubrec", 0xff],
      ["pubrel", 0x87],
      ["pubrel", 0x10],
      ["pubcomp", 0x80],
      ["pubcomp", 0x91],
    ];
    for (const [type, code] of wrong) {
      const client = await s.connect();
      client.send(ackPacket(type, 1, code));
      await client.refused(0x81, 0x82);
    }
  },
);

rule(
  "Reason String and User Properties of a client's acknowledgement are taken {5.0 [MQTT-3.4.2-1] [MQTT-3.6.2-1]}",
  async (s) => {
    const receiver = await s.connect();
    await receiver.subscribe(s.topic());
    const publisher = await s.connect();
    const fields = {
      reasonString: "fine",
      userProperties: [["a", "b"]] satisfies [[string, string]],
    };
    await publisher.publish({ topic: s.topic(), qos: 1 });
    receiver.send(ackPacket("puback", (await receiver.expect("publish")).packetId, 0x10, fields));
    await publisher.publish({ topic: s.topic(), qos: 2 });
    const { packetId } = await receiver.expect("publish");
    receiver.send(ackPacket("pubrec", packetId, 0, fields));
    await receiver.acked("pubrel", packetId);
    receiver.send(ackPacket("pubcomp", packetId, 0, fields));
    await receiver.quiet();
    receiver.send(publishPacket(s.version, { topic: s.topic("x"), qos: 2, packetId: 9 }));
    await receiver.acked("pubrec", 9);
    receiver.send(ackPacket("pubrel", 9, 0, fields));
    assert.equal(await receiver.acked("pubcomp", 9), 0);
  },
);

rule(
  "a PUBREL with flags other than 0010 closes the connection {3.1.1 [MQTT-3.6.1-1]} {5.0 [MQTT-3.6.1-1]}",
  async (s) => {
    for (const flags of [0, 1, 3, 4, 6, 8, 10, 15]) {
      const client = await s.connect();
      client.send(publishPacket(s.version, { topic: s.topic(), qos: 2, packetId: 1 }));
      await client.acked("pubrec", 1);
      client.send(frame(0x60 | flags, u16(1)));
      await client.refused(0x81);
    }
  },
);

rule(
  "an acknowledgement that is too short or too long closes the connection {3.1.1 [MQTT-4.8.0-1]} {5.0 [MQTT-4.13.1-1]}",
  async (s) => {
    for (const first of [0x40, 0x50, 0x62, 0x70]) {
      const bodies = s.isV5 ? [[], [0], [0, 1, 0, 0, 0], [0, 1, 0, 9]] : [[], [0], [0, 1, 0]];
      for (const body of bodies) {
        const client = await s.connect();
        client.send(frame(first, body));
        await client.refused(0x81, 0x82);
      }
    }
  },
);
