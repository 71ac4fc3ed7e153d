import assert from "node:assert/strict";
import { publishPacket, subscribePacket, unsubscribePacket } from "./packets.ts";
import type { RawClient } from "./raw-client.ts";
import { type Scene, suite } from "./suite.ts";

const rule = suite();

/** A filter no server may accept: it is refused in SUBACK, or the connection closed. */
async function assertRefused(s: Scene, filter: string): Promise<void> {
  const client = await s.connect();
  client.send(subscribePacket(s.version, 1, [{ filter, qos: 1 }]));
  const packet = await client.next().catch(() => null);
  if (packet === null) await client.closed();
  else if (packet.type === "suback") assert((packet.codes[0] ?? 0) >= 0x80, `${filter} is refused`);
  else assert(packet.type === "disconnect" && [0x8f, 0x81, 0x82].includes(packet.code));
}

async function reaches(receiver: RawClient, publisher: RawClient, topic: string): Promise<boolean> {
  await publisher.publish({ topic, payload: "?", qos: 1 });
  receiver.send([0xc0, 0]);
  const packet = await receiver.next();
  if (packet.type === "pingresp") return false;
  assert(packet.type === "publish" && packet.topic === topic);
  if (packet.qos > 0) receiver.send([0x40, 2, packet.packetId >> 8, packet.packetId & 255]);
  await receiver.expect("pingresp");
  return true;
}

rule(
  "# that is not alone in the last level is refused {3.1.1 [MQTT-4.7.1-2]} {5.0 [MQTT-4.7.1-1]}",
  async (s) => {
    for (const filter of ["a#", "#a", "a/#/b", "#/", "##", "a/b#", "a/#b", "+#", "#+"]) {
      await assertRefused(s, filter);
    }
  },
);

rule(
  "+ that is not alone in its level is refused {3.1.1 [MQTT-4.7.1-3]} {5.0 [MQTT-4.7.1-2]}",
  async (s) => {
    for (const filter of ["a+", "+a", "a/+b", "a/b+/c", "++", "a/+b/#"]) {
      await assertRefused(s, filter);
    }
  },
);

rule(
  "# stands for its parent and any number of levels {3.1.1 [MQTT-4.7.1-2]} {5.0 [MQTT-4.7.1-1]}",
  async (s) => {
    const receiver = await s.connect();
    const publisher = await s.connect();
    await receiver.subscribe({ filter: `${s.topic()}/#`, qos: 1 });
    for (const end of ["", "/", "/a", "/a/b/c", "//", "/a//"]) {
      assert(await reaches(receiver, publisher, `${s.topic()}${end}`), end);
    }
    for (const other of [`${s.topic()}x`, `x/${s.topic()}`, s.topic("other")]) {
      assert(!(await reaches(receiver, publisher, other)), other);
    }
  },
);

rule(
  "+ stands for one level, first, last or between, empty ones too {3.1.1 [MQTT-4.7.1-3]} {5.0 [MQTT-4.7.1-2]}",
  async (s) => {
    const publisher = await s.connect();
    const base = s.topic();
    const cases: readonly [string, readonly string[], readonly string[]][] = [
      [`${base}/+`, [`${base}/a`, `${base}/`], [base, `${base}/a/b`, `${base}/a/`]],
      [
        `${base}/+/b`,
        [`${base}/a/b`, `${base}//b`],
        [`${base}/b`, `${base}/a/a/b`, `${base}/a/b/`],
      ],
      [`+/${s.id("u")}`, [`a/${s.id("u")}`, `/${s.id("u")}`], [s.id("u"), `a/b/${s.id("u")}`]],
      [`${base}/+/+/#`, [`${base}/a/b`, `${base}/a/b/c`, `${base}//`], [`${base}/a`, base]],
    ];
    for (const [filter, yes, no] of cases) {
      const receiver = await s.connect();
      await receiver.subscribe({ filter, qos: 1 });
      for (const topic of yes) assert(await reaches(receiver, publisher, topic), topic);
      for (const topic of no) assert(!(await reaches(receiver, publisher, topic)), topic);
    }
  },
);

rule(
  "a filter that begins with a wildcard does not match a topic that begins with $ {3.1.1 [MQTT-4.7.2-1]} {5.0 [MQTT-4.7.2-1]}",
  {},
  async (s) => {
    const publisher = await s.connect();
    const wild = await s.connect();
    await wild.subscribe(["#", "+/a", "+/#", "+/+"].map((filter) => ({ filter, qos: 1 })));
    const named = await s.connect();
    await named.subscribe([
      { filter: "$own/#", qos: 0 },
      { filter: "$own/+", qos: 1 },
    ]);
    const retained = { topic: "$own/a", payload: "x", qos: 1, retain: true };
    await publisher.publish(retained);
    await wild.quiet();
    await named.messages("x");
    const late = await s.connect();
    await late.subscribe([{ filter: "#" }, { filter: "+/a" }, { filter: "$own/a", qos: 1 }]);
    await late.messages("x");
    await late.quiet();
    await publisher.publish({ topic: "a/$own", payload: "y", qos: 1 });
    await wild.messages("y");
  },
);

rule(
  "the server's own topics are no exception, and clients cannot publish to them {3.1.1 [MQTT-4.7.2-1]} {5.0 [MQTT-4.7.2-1]}",
  {},
  async (s) => {
    const wild = await s.connect();
    await wild.subscribe([{ filter: "#" }, { filter: "+/brokers/#" }]);
    const named = await s.connect();
    await named.subscribe({ filter: "$SYS/#", qos: 0 });
    const client = await s.connect();
    assert((await named.message()).topic.startsWith("$SYS/"));
    await client.publish({ topic: "$SYS/brokers/x", payload: "forged", qos: 1 });
    await wild.quiet();
  },
);

rule(
  "an empty topic or filter is refused {3.1.1 [MQTT-4.7.3-1]} {5.0 [MQTT-4.7.3-1]}",
  async (s) => {
    for (const qos of [0, 1, 2]) {
      const client = await s.connect();
      client.send(publishPacket(s.version, { topic: "", qos, packetId: 1 }));
      await client.refused(0x81, 0x82, 0x90);
    }
    await assertRefused(s, "");
    const client = await s.connect();
    client.send(unsubscribePacket(s.version, 1, [""]));
    const packet = await client.next().catch(() => null);
    assert(packet === null || packet.type === "disconnect" || packet.type === "unsuback");
  },
);

rule(
  "the shortest topics and filters work {3.1.1 [MQTT-4.7.3-1]} {5.0 [MQTT-4.7.3-1]}",
  {},
  async (s) => {
    const receiver = await s.connect();
    const publisher = await s.connect();
    for (const topic of ["a", "/", " ", "é"]) {
      await receiver.subscribe({ filter: topic, qos: 1 });
      assert(await reaches(receiver, publisher, topic));
      await receiver.unsubscribe(topic);
      assert(!(await reaches(receiver, publisher, topic)));
    }
  },
);

rule(
  "U+0000 in a topic or filter closes the connection {3.1.1 [MQTT-4.7.3-2]} {5.0 [MQTT-4.7.3-2]}",
  async (s) => {
    for (const name of ["\0", "a\0", "a/\0/b", "#\0"]) {
      const packets = [
        publishPacket(s.version, { topic: name }),
        subscribePacket(s.version, 1, [{ filter: name }]),
        unsubscribePacket(s.version, 1, [name]),
      ];
      for (const packet of packets) {
        const client = await s.connect();
        client.send(packet);
        await client.refused(0x81, 0x8f, 0x90);
      }
    }
  },
);

rule(
  "topics and filters of up to 65,535 bytes work {3.1.1 [MQTT-4.7.3-3]} {5.0 [MQTT-4.7.3-3]}",
  async (s) => {
    const receiver = await s.connect();
    const publisher = await s.connect();
    for (const [fill, size] of [
      ["x", 65_535],
      ["é", 65_534],
    ] as const) {
      const base = s.topic();
      const room = size - Buffer.byteLength(base);
      const topic = `${base}${fill.repeat(Math.floor(room / Buffer.byteLength(fill)))}`;
      await receiver.subscribe({ filter: topic, qos: 1 });
      assert(await reaches(receiver, publisher, topic));
    }
  },
);

rule(
  "matching neither normalises nor replaces characters {3.1.1 [MQTT-4.7.3-4]} {5.0 [MQTT-4.7.3-4]}",
  async (s) => {
    const publisher = await s.connect();
    const names = [
      "a",
      "A",
      "a ",
      " a",
      "é",
      "e\u0301",
      "\u212b",
      "\u00c5",
      "a/",
      "a//",
      "./a",
      "%61",
    ];
    for (const name of names) {
      const receiver = await s.connect();
      await receiver.subscribe({ filter: `${s.topic()}/${name}`, qos: 1 });
      for (const other of names) {
        const isSame = other === name;
        assert.equal(await reaches(receiver, publisher, `${s.topic()}/${other}`), isSame);
      }
    }
  },
);

rule(
  "a shared filter that begins with a wildcard does not match such a topic either {5.0 [MQTT-4.7.2-1]}",
  {},
  async (s) => {
    const member = await s.connect();
    await member.subscribe(
      ["$share/g/#", "$share/g/+/a", "$share/h/+/#"].map((filter) => ({ filter })),
    );
    const publisher = await s.connect();
    await publisher.publish({ topic: "$own/a", payload: "x", qos: 1 });
    await member.quiet();
  },
);
