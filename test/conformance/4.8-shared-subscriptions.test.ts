import assert from "node:assert/strict";
import { ackPacket, subscribePacket } from "./packets.ts";
import type { RawClient } from "./raw-client.ts";
import { type Scene, suite } from "./suite.ts";

const rule = suite();

rule(
  "a shared filter without a name or a filter, or with a wildcard in its name, is refused {5.0 [MQTT-4.8.2-1] [MQTT-4.8.2-2]}",
  async (s) => {
    const filters = [
      "$share/",
      "$share//t",
      "$share/g",
      "$share/g/",
      "$share/g+/t",
      "$share/+/t",
      "$share/#/t",
      "$share/g#/t",
      "$share/g/a#",
      "$share/g/a+/b",
    ];
    for (const filter of filters) {
      const client = await s.connect();
      client.send(subscribePacket(s.version, 1, [{ filter }]));
      const packet = await client.next();
      if (packet.type === "suback") assert((packet.codes[0] ?? 0) >= 0x80, `${filter} is refused`);
      else assert(packet.type === "disconnect" && [0x8f, 0x81, 0x82].includes(packet.code));
    }
  },
);

rule(
  "the members of a share get each message once between them, groups and others get all {5.0 [MQTT-4.8.2-1]}",
  async (s) => {
    const publisher = await s.connect();
    const members: RawClient[] = [];
    for (const [group, count] of [
      ["g", 3],
      ["h", 1],
    ] as const) {
      for (let i = 0; i < count; i++) {
        const client = await s.connect();
        await client.subscribe({ filter: `$share/${group}/${s.topic()}/+`, qos: 1 });
        members.push(client);
      }
    }
    const plain = await s.connect();
    await plain.subscribe({ filter: `${s.topic()}/#`, qos: 1 });
    const total = 30;
    for (let i = 0; i < total; i++) {
      await publisher.publish({ topic: `${s.topic()}/x`, payload: `${i}`, qos: i % 2 });
    }
    await plain.messages(...Array.from({ length: total }, (_, i) => `${i}`));
    const found: string[][] = [];
    for (const member of members) {
      const texts: string[] = [];
      member.send([0xc0, 0]);
      for (
        let packet = await member.next();
        packet.type !== "pingresp";
        packet = await member.next()
      ) {
        assert(packet.type === "publish");
        texts.push(packet.text);
        if (packet.qos > 0) member.send(ackPacket("puback", packet.packetId));
      }
      found.push(texts);
    }
    const shared = found.slice(0, 3).flat();
    assert.equal(shared.length, total);
    assert.equal(new Set(shared).size, total);
    assert(
      found.slice(0, 3).every(({ length }) => length > 0),
      "the load is spread",
    );
    assert.equal(found[3]?.length, total);
  },
);

rule(
  "each member of a share gets messages with the QoS it was granted {5.0 [MQTT-4.8.2-3]}",
  async (s) => {
    const publisher = await s.connect();
    for (const granted of [0, 1, 2]) {
      const member = await s.connect();
      await member.subscribe({ filter: `$share/g/${s.topic()}/${granted}`, qos: granted });
      for (const qos of [0, 1, 2]) {
        await publisher.publish({ topic: `${s.topic()}/${granted}`, payload: `${qos}`, qos });
        assert.equal((await member.message()).qos, Math.min(qos, granted));
      }
    }
    const members: RawClient[] = [];
    for (const qos of [0, 1, 2]) {
      const member = await s.connect();
      await member.subscribe({ filter: `$share/mixed/${s.topic()}`, qos });
      members.push(member);
    }
    for (let i = 0; i < 9; i++)
      await publisher.publish({ topic: s.topic(), payload: `${i}`, qos: 2 });
    let total = 0;
    for (const [qos, member] of members.entries()) {
      member.send([0xc0, 0]);
      for (
        let packet = await member.next();
        packet.type !== "pingresp";
        packet = await member.next()
      ) {
        assert(packet.type === "publish");
        assert.equal(packet.qos, qos);
        total++;
      }
    }
    assert.equal(total, 9);
  },
);

/** Two members of one share; `first` is the one that was sent the message, which is on its way. */
async function onItsWay(s: Scene, qos: number, keep: boolean) {
  const ids = [s.id("a"), s.id("b")];
  const members: RawClient[] = [];
  for (const clientId of ids) {
    const member = await s.connect({ clientId, keep });
    await member.subscribe([
      { filter: `$share/g/${s.topic()}`, qos },
      { filter: s.topic("all"), qos: 1 },
    ]);
    members.push(member);
  }
  const publisher = await s.connect();
  await publisher.publish({ topic: s.topic(), payload: "shared", qos });
  await publisher.publish({ topic: s.topic("all"), payload: "all", qos: 0 });
  const [a, b] = members;
  assert(a !== undefined && b !== undefined);
  const packet = await a.expect("publish");
  const isA = packet.text === "shared";
  if (isA) await a.messages("all");
  const message = isA ? packet : await b.expect("publish");
  await b.messages("all");
  assert.equal(message.text, "shared");
  return { first: isA ? a : b, other: isA ? b : a, message, publisher };
}

rule(
  "a QoS 2 message on its way to a member that leaves is completed when it comes back {5.0 [MQTT-4.8.2-4]}",
  async (s) => {
    const { first, other, message, publisher } = await onItsWay(s, 2, true);
    await first.drop();
    await publisher.publish({ topic: s.topic("all"), payload: "end", qos: 0 });
    await other.messages("end");
    const again = await s.connect({ clientId: first.clientId, keep: true });
    const [copy] = await again.messages("shared");
    assert.deepEqual([copy?.packetId, copy?.dup], [message.packetId, true]);
    await other.quiet();
  },
);

rule(
  "a QoS 2 message on its way to a member whose session ends goes to nobody else {5.0 [MQTT-4.8.2-5]}",
  async (s) => {
    for (const keep of [false, true]) {
      const { first, other, publisher } = await onItsWay(s, 2, keep);
      await first.drop();
      // Ends the session where it was kept.
      await (await s.connect({ clientId: first.clientId })).disconnect();
      await publisher.publish({ topic: s.topic("all"), payload: "end", qos: 0 });
      await other.messages("end");
      await other.disconnect(0, { sessionExpiryInterval: 0 }).catch(() => undefined);
    }
  },
);

rule("a message a member refuses goes to nobody else {5.0 [MQTT-4.8.2-6]}", async (s) => {
  for (const qos of [1, 2]) {
    for (const code of [0x80, 0x83, 0x87, 0x97]) {
      const { first, other, message, publisher } = await onItsWay(s, qos, false);
      first.send(ackPacket(qos === 1 ? "puback" : "pubrec", message.packetId, code));
      await first.quiet();
      await publisher.publish({ topic: s.topic("all"), payload: "end", qos: 0 });
      await other.messages("end");
      await first.messages("end");
      await first.disconnect();
      await other.quiet();
      await other.disconnect();
    }
  }
});

rule(
  "a QoS 1 message a member did not acknowledge before its session ended goes to another one {5.0 [MQTT-4.8.2-3]}",
  async (s) => {
    const { first, other } = await onItsWay(s, 1, false);
    await first.drop();
    assert.equal((await other.message()).text, "shared");
  },
);

rule(
  "a shared subscription is another one than that of its filter alone {5.0 [MQTT-4.8.2-2] [MQTT-3.10.4-1]}",
  async (s) => {
    const client = await s.connect();
    const publisher = await s.connect();
    const filters = [s.topic(), `$share/g/${s.topic()}`, `$share/h/${s.topic()}`];
    for (const filter of filters) await client.subscribe({ filter, qos: 1 });
    for (let left = filters.length; left > 0; left--) {
      await publisher.publish({ topic: s.topic(), payload: "x", qos: 1 });
      for (let i = 0; i < left; i++) await client.messages("x");
      await client.quiet();
      assert.deepEqual((await client.unsubscribe(filters[left - 1] ?? "")).codes, [0]);
    }
    await publisher.publish({ topic: s.topic(), payload: "x", qos: 1 });
    await client.quiet();
  },
);

rule(
  "a shared message that has expired is not handed to another member {5.0 [MQTT-3.3.2-5]}",
  async (s) => {
    const members: RawClient[] = [];
    for (const name of ["a", "b"]) {
      const member = await s.connect({ clientId: s.id(name) });
      await member.subscribe({ filter: `$share/g/${s.topic()}`, qos: 1 });
      members.push(member);
    }
    const publisher = await s.connect();
    const properties = { messageExpiryInterval: 1 };
    await publisher.publish({ topic: s.topic(), payload: "old", qos: 1, properties });
    const [a, b] = members;
    assert(a !== undefined && b !== undefined);
    a.send([0xc0, 0]);
    const isA = (await a.next()).type === "publish";
    if (isA) await a.expect("pingresp");
    await s.elapse(2100);
    await (isA ? a : b).drop();
    const other = isA ? b : a;
    await publisher.publish({ topic: s.topic(), payload: "end", qos: 0 });
    await other.messages("end");
  },
);

rule(
  "a QoS 2 message that was on its way before the member came back goes to nobody else, sent again or not {5.0 [MQTT-4.8.2-5]}",
  async (s) => {
    const filter = { filter: `$share/g/${s.topic()}`, qos: 2 };
    const first = await s.connect({ clientId: s.id("a"), keep: true });
    await first.subscribe(filter);
    const publisher = await s.connect();
    for (const payload of ["1", "2"])
      await publisher.publish({ topic: s.topic(), payload, qos: 2 });
    await first.expect("publish");
    await first.expect("publish");
    await first.drop();
    const other = await s.connect();
    await other.subscribe([filter, { filter: s.topic("all"), qos: 0 }]);
    const properties = { sessionExpiryInterval: 60, receiveMaximum: 1 };
    const again = await s.connect({ clientId: s.id("a"), cleanStart: false, properties });
    assert.equal((await again.expect("publish")).text, "1");
    await again.disconnect(0, { sessionExpiryInterval: 0 });
    await publisher.publish({ topic: s.topic("all"), payload: "end" });
    await other.messages("end");
  },
);
