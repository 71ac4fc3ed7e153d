import assert from "node:assert/strict";
import { ackPacket, publishPacket } from "./packets.ts";
import { suite } from "./suite.ts";

const rule = suite();

rule(
  "QoS 0 is sent once with QoS 0, DUP 0 and no identifier {3.1.1 [MQTT-4.3.1-1]} {5.0 [MQTT-4.3.1-1]}",
  async (s) => {
    const receiver = await s.connect();
    await receiver.subscribe([
      { filter: s.topic("a"), qos: 2 },
      { filter: s.topic("b"), qos: 0 },
    ]);
    const publisher = await s.connect();
    for (const [name, qos] of [
      ["a", 0],
      ["b", 0],
      ["b", 1],
      ["b", 2],
    ] as const) {
      await publisher.publish({ topic: s.topic(name), payload: "x", qos });
      const expected = publishPacket(s.version, { topic: s.topic(name), payload: "x" });
      assert.deepEqual((await receiver.message()).bytes, expected);
    }
    await receiver.quiet();
  },
);

rule(
  "QoS 1 is first sent with DUP 0 and a free identifier, and stays unacknowledged until PUBACK {3.1.1 [MQTT-4.3.2-1]} {5.0 [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-4.3.2-3]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connect({ clientId, keep: true });
    await first.subscribe({ filter: s.topic(), qos: 1 });
    const publisher = await s.connect();
    for (const payload of ["1", "2", "3"])
      await publisher.publish({ topic: s.topic(), payload, qos: 1 });
    const sent = [];
    for (let i = 0; i < 3; i++) sent.push(await first.expect("publish"));
    assert(sent.every(({ qos, dup, packetId }) => qos === 1 && !dup && packetId > 0));
    assert.equal(new Set(sent.map(({ packetId }) => packetId)).size, 3);
    const [one, two] = sent;
    assert(one !== undefined && two !== undefined);
    first.send(ackPacket("puback", two.packetId));
    // An acknowledgement of something else acknowledges nothing.
    first.send(ackPacket("puback", 40_000), ackPacket("pubcomp", one.packetId));
    await first.settled();
    await first.drop();
    const second = await s.connect({ clientId, keep: true });
    const again = await second.messages("1", "3");
    assert.equal(again[0]?.packetId, one.packetId);
    await second.quiet();
    await second.drop();
    const third = await s.connect({ clientId, keep: true });
    await third.quiet();
  },
);

rule(
  "a QoS 1 message is acknowledged once it is the server's own {3.1.1 [MQTT-4.3.2-2]} {5.0 [MQTT-4.3.2-4]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connect({ clientId, keep: true });
    await first.subscribe(s.topic());
    await first.disconnect();
    const publisher = await s.connect();
    publisher.send(
      publishPacket(s.version, { topic: s.topic(), payload: "x", qos: 1, packetId: 7 }),
    );
    await publisher.acked("puback", 7);
    await publisher.drop();
    const second = await s.connect({ clientId, keep: true });
    await second.messages("x");
  },
);

rule(
  "after PUBACK the identifier stands for a new message, DUP or not {3.1.1 [MQTT-4.3.2-2]} {5.0 [MQTT-4.3.2-5]}",
  async (s) => {
    const receiver = await s.connect();
    await receiver.subscribe(s.topic());
    const publisher = await s.connect();
    const message = { topic: s.topic(), qos: 1, packetId: 7 };
    for (const [payload, dup] of [
      ["1", false],
      ["2", false],
      ["2", true],
      ["3", true],
    ] as const) {
      await publisher.publish({ ...message, payload, dup });
      await receiver.messages(payload);
    }
  },
);

rule(
  "QoS 2 is first sent with DUP 0 and a free identifier, and stays unacknowledged until PUBREC {3.1.1 [MQTT-4.3.3-1]} {5.0 [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.3.3-3]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connect({ clientId, keep: true });
    await first.subscribe(s.topic());
    const publisher = await s.connect();
    for (const payload of ["1", "2"])
      await publisher.publish({ topic: s.topic(), payload, qos: 2 });
    const sent = [await first.expect("publish"), await first.expect("publish")];
    assert(sent.every(({ qos, dup, packetId }) => qos === 2 && !dup && packetId > 0));
    const [one, two] = sent;
    assert(one !== undefined && two !== undefined && one.packetId !== two.packetId);
    // PUBACK and PUBCOMP do not take PUBREC's place.
    first.send(ackPacket("puback", one.packetId), ackPacket("pubcomp", one.packetId));
    await first.settled();
    await first.drop();
    const second = await s.connect({ clientId, keep: true });
    const again = await second.messages("1", "2");
    assert.deepEqual(
      again.map(({ packetId }) => packetId),
      [one.packetId, two.packetId],
    );
  },
);

rule(
  "PUBREC is answered with PUBREL, which stays unacknowledged until PUBCOMP; the PUBLISH is not sent again {3.1.1 [MQTT-4.3.3-1]} {5.0 [MQTT-4.3.3-4] [MQTT-4.3.3-5] [MQTT-4.3.3-6]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connect({ clientId, keep: true });
    await first.subscribe(s.topic());
    const publisher = await s.connect();
    await publisher.publish({ topic: s.topic(), payload: "x", qos: 2 });
    const { packetId } = await first.expect("publish");
    first.send(ackPacket("pubrec", packetId));
    assert.equal(await first.acked("pubrel", packetId), 0);
    first.send(ackPacket("pubrec", packetId));
    assert.equal(await first.acked("pubrel", packetId), 0, "PUBREC again, PUBREL again");
    await first.drop();
    for (let i = 0; i < 2; i++) {
      const client = await s.connect({ clientId, keep: true });
      assert.equal(await client.acked("pubrel", packetId), 0);
      await client.quiet();
      await client.drop();
    }
    const last = await s.connect({ clientId, keep: true });
    await last.acked("pubrel", packetId);
    last.send(ackPacket("pubcomp", packetId));
    await last.quiet();
    await last.drop();
    await (await s.connect({ clientId, keep: true })).quiet();
  },
);

rule(
  "a message that has been sent with QoS 2 does not expire any more {5.0 [MQTT-4.3.3-7]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connect({ clientId, keep: true });
    await first.subscribe(s.topic());
    const publisher = await s.connect();
    const properties = { messageExpiryInterval: 1 };
    await publisher.publish({ topic: s.topic(), payload: "x", qos: 2, properties });
    const { packetId } = await first.expect("publish");
    await first.drop();
    await s.elapse(1300);
    const second = await s.connect({ clientId, keep: true });
    const [again] = await second.messages("x");
    assert.deepEqual([again?.packetId, again?.dup], [packetId, true]);
  },
);

rule(
  "a QoS 2 message is answered with PUBREC once it is the server's own, and is not delivered twice before PUBREL {3.1.1 [MQTT-4.3.3-2]} {5.0 [MQTT-4.3.3-8] [MQTT-4.3.3-10]}",
  async (s) => {
    const receiver = await s.connect();
    await receiver.subscribe(s.topic());
    const publisher = await s.connect({ clientId: s.id("x"), keep: true });
    const message = { topic: s.topic(), payload: "once", qos: 2, packetId: 7 };
    publisher.send(publishPacket(s.version, message));
    await publisher.acked("pubrec", 7);
    for (const dup of [true, false, true]) {
      publisher.send(publishPacket(s.version, { ...message, dup }));
      assert.equal(await publisher.acked("pubrec", 7), 0);
    }
    await publisher.drop();
    const again = await s.connect({ clientId: s.id("x"), keep: true });
    again.send(publishPacket(s.version, { ...message, dup: true }));
    assert.equal(await again.acked("pubrec", 7), 0);
    again.send(ackPacket("pubrel", 7));
    await again.acked("pubcomp", 7);
    await receiver.messages("once");
    await receiver.quiet();
  },
);

rule(
  "a QoS 2 message is delivered once to a session that is away, repeated or not {3.1.1 [MQTT-4.3.3-2]} {5.0 [MQTT-4.3.3-10]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connect({ clientId, keep: true });
    await first.subscribe(s.topic());
    await first.disconnect();
    const publisher = await s.connect();
    const message = { topic: s.topic(), payload: "once", qos: 2, packetId: 7 };
    const again = publishPacket(s.version, { ...message, dup: true });
    publisher.send(publishPacket(s.version, message), again, again);
    for (let i = 0; i < 3; i++) assert.equal((await publisher.acked("pubrec", 7)) & 0x80, 0);
    publisher.send(ackPacket("pubrel", 7));
    await publisher.acked("pubcomp", 7);
    const second = await s.connect({ clientId, keep: true });
    await second.messages("once");
    await second.quiet();
  },
);

rule(
  "PUBREL is answered with PUBCOMP, known or not {3.1.1 [MQTT-4.3.3-2]} {5.0 [MQTT-4.3.3-11]}",
  async (s) => {
    for (const keep of [false, true]) {
      const client = await s.connect({ clientId: s.id(`${keep}`), keep });
      client.send(publishPacket(s.version, { topic: s.topic(), qos: 2, packetId: 7 }));
      await client.acked("pubrec", 7);
      client.send(ackPacket("pubrel", 7));
      assert.equal(await client.acked("pubcomp", 7), 0);
      client.send(ackPacket("pubrel", 7));
      assert.equal(await client.acked("pubcomp", 7), s.isV5 ? 0x92 : 0);
      client.send(ackPacket("pubrel", 12_345));
      assert.equal(await client.acked("pubcomp", 12_345), s.isV5 ? 0x92 : 0);
    }
  },
);

rule(
  "after PUBCOMP the identifier stands for a new message {3.1.1 [MQTT-4.3.3-2]} {5.0 [MQTT-4.3.3-12]}",
  async (s) => {
    const receiver = await s.connect();
    await receiver.subscribe(s.topic());
    const publisher = await s.connect();
    for (const dup of [false, false, true]) {
      await publisher.publish({ topic: s.topic(), payload: "x", qos: 2, packetId: 7, dup });
      await receiver.messages("x");
    }
  },
);

rule(
  "after a PUBREC that refused, the identifier stands for a new message {5.0 [MQTT-4.3.3-9]}",
  { isAllowed: ({ topic }) => topic !== "forbidden" },
  async (s) => {
    const receiver = await s.connect();
    await receiver.subscribe("free");
    const publisher = await s.connect();
    const message = { qos: 2, packetId: 7 };
    for (let i = 0; i < 2; i++) {
      assert.equal(await publisher.publish({ topic: "forbidden", ...message }), 0x87);
    }
    const code = await publisher.publish({ topic: "free", payload: "x", ...message });
    assert.equal(code, 0);
    await receiver.messages("x");
  },
);

rule(
  "the exchange of a QoS 2 message goes on after the message has expired {5.0 [MQTT-4.3.3-13]}",
  async (s) => {
    const clientId = s.id("x");
    const first = await s.connect({ clientId, keep: true });
    await first.subscribe(s.topic());
    await first.disconnect();
    const publisher = await s.connect({ clientId: s.id("p"), keep: true });
    const message = {
      topic: s.topic(),
      qos: 2,
      packetId: 7,
      properties: { messageExpiryInterval: 1 },
    };
    publisher.send(publishPacket(s.version, message));
    await publisher.acked("pubrec", 7);
    await s.elapse(1300);
    publisher.send(publishPacket(s.version, { ...message, dup: true }));
    assert.equal(await publisher.acked("pubrec", 7), 0);
    publisher.send(ackPacket("pubrel", 7));
    assert.equal(await publisher.acked("pubcomp", 7), 0);
    const second = await s.connect({ clientId, keep: true });
    await second.quiet();
  },
);
