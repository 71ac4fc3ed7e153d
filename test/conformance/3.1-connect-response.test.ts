import assert from "node:assert/strict";
import { connectPacket, PINGREQ, publishPacket, subscribePacket } from "./packets.ts";
import { suite } from "./suite.ts";
import { bytes, frame, text, u16 } from "./wire.ts";

const rule = suite();

rule(
  "a CONNECT that breaks the format is closed, in 3.1.1 without a CONNACK {3.1.1 [MQTT-3.1.4-1]} {5.0 [MQTT-3.1.4-1]}",
  async (s) => {
    const whole = connectPacket(s.version, {
      clientId: s.id("x"),
      will: { topic: s.topic(), payload: "p" },
      username: "u",
      password: "p",
    });
    const body = whole.subarray(2);
    for (const end of [body.length - 1, body.length - 4, 13, 11]) {
      const client = await s.open();
      client.send(frame(0x10, body.subarray(0, end)));
      await client.turnedAway(0x81);
    }
    const longer = await s.open();
    longer.send(frame(0x10, body, [0]));
    await longer.turnedAway(0x81);
    for (const end of [0, 1, 5, 6, 7, 9]) {
      const client = await s.open();
      client.send(frame(0x10, body.subarray(0, end)));
      for (const packet of await client.ended()) assert.equal(packet.type, "connack");
    }
  },
);

rule(
  "properties a CONNECT may not have close it with the reason {5.0 [MQTT-3.1.4-1]}",
  async (s) => {
    const lists: readonly [readonly number[], number][] = [
      [[0x01, 1], 0x81], // not in CONNECT
      [[0x7f, 1], 0x81], // unknown
      [[0x21, 0, 1, 0x21, 0, 1], 0x82], // twice
      [[0x21, 0, 0], 0x82], // Receive Maximum 0
      [[0x27, 0, 0, 0, 0], 0x82], // Maximum Packet Size 0
      [[0x17, 2], 0x82], // neither 0 nor 1
      [[0x19, 2], 0x82],
      [[0x16, 0, 1, 0x61], 0x82], // data without a method
      [[0x11, 0, 0], 0x81], // cut off
    ];
    for (const [list, code] of lists) {
      const client = await s.open();
      client.begin({ clientId: s.id("x"), rawProperties: [list.length, ...list] });
      await client.turnedAway(code);
    }
    const will = bytes([2, 0x23, 0], u16(1));
    const client = await s.open();
    client.send(
      frame(0x10, text("MQTT"), [5, 0x06, 0, 0, 0], text(s.id("x")), will, text("t"), text("p")),
    );
    await client.turnedAway(0x81);
  },
);

rule(
  "where no return code fits, a CONNECT is closed without a CONNACK {3.1.1 [MQTT-3.2.2-6]}",
  async (s) => {
    for (const topic of ["a/+", "#", ""]) {
      const client = await s.open();
      client.begin({ clientId: s.id("x"), will: { topic } });
      await client.closed();
    }
  },
);

const onlyGood = {
  authenticate: async ({ username }: { username: string | null }) =>
    username === "good" ? "accepted" : username === null ? "not_authorized" : "bad_credentials",
} as const;

rule(
  "a client that fails a further check is refused and closed {3.1.1 [MQTT-3.2.2-4] [MQTT-3.2.2-5]} {5.0 [MQTT-3.1.4-2] [MQTT-3.2.2-6] [MQTT-3.2.2-7] [MQTT-3.2.2-8]}",
  onlyGood,
  async (s) => {
    const kept = await s.connect({ clientId: s.id("x"), keep: true, username: "good" });
    await kept.disconnect();
    for (const [fields, code3, code5] of [
      [{}, 5, 0x87],
      [{ username: "bad" }, 4, 0x86],
    ] as const) {
      const client = await s.open();
      const connack = await client.connect({ clientId: s.id("x"), cleanStart: false, ...fields });
      assert.equal(connack.code, s.isV5 ? code5 : code3);
      assert.equal(connack.sessionPresent, false);
      await client.closed();
    }
    const again = await s.connected({ clientId: s.id("x"), keep: true, username: "good" });
    assert.equal(again.connack.sessionPresent, true, "the refused ones did not touch the session");
  },
);

rule(
  "a new connection of the same client ends the one before {3.1.1 [MQTT-3.1.4-2]} {5.0 [MQTT-3.1.4-3]}",
  async (s) => {
    for (const keep of [false, true]) {
      const first = await s.connect({ clientId: s.id(`${keep}`), keep });
      await first.subscribe(s.topic());
      const { client: second, connack } = await s.connected({ clientId: s.id(`${keep}`), keep });
      await first.refused(0x8e);
      assert.equal(connack.sessionPresent, keep);
      await second.quiet();
    }
  },
);

rule(
  "an accepted CONNECT is answered with CONNACK and code 0 {3.1.1 [MQTT-3.1.4-4]} {5.0 [MQTT-3.1.4-5]}",
  async (s) => {
    const client = await s.open();
    const connack = await client.connect({ clientId: s.id("x") });
    assert.equal(connack.code, 0);
    assert.equal(connack.sessionPresent, false);
    if (!s.isV5) assert.deepEqual(connack.bytes, bytes([0x20, 2, 0, 0]));
  },
);

rule(
  "nothing that comes behind a refused CONNECT is processed {3.1.1 [MQTT-3.1.4-5]} {5.0 [MQTT-3.1.4-6]}",
  onlyGood,
  async (s) => {
    const watcher = await s.connect({ username: "good" });
    await watcher.subscribe(s.topic());
    const client = await s.open();
    client.send(
      connectPacket(s.version, { clientId: s.id("x"), username: "bad" }),
      publishPacket(s.version, { topic: s.topic(), payload: "no", retain: true }),
      publishPacket(s.version, { topic: s.topic(), payload: "no", qos: 1, packetId: 1 }),
      subscribePacket(s.version, 2, [{ filter: s.topic() }]),
      PINGREQ,
    );
    assert.notEqual((await client.expect("connack")).code, 0);
    await client.closed();
    await watcher.quiet();
    const late = await s.connect({ username: "good" });
    await late.subscribe(s.topic());
    await watcher.publish({ topic: s.topic(), payload: "first", qos: 0 });
    await late.messages("first");
    await watcher.messages("first");
  },
);

const gate = Promise.withResolvers<"accepted">();
const bothAsked = Promise.withResolvers<void>();
let asked = 0;
rule(
  "of two connections of one client that wait for their CONNACK one is served {5.0 [MQTT-3.1.4-3]}",
  {
    authenticate: () => {
      if (++asked === 2) bothAsked.resolve();
      return gate.promise;
    },
  },
  async (s) => {
    const clients = [await s.open(), await s.open()];
    for (const client of clients) client.begin({ clientId: s.id("x") });
    await bothAsked.promise;
    gate.resolve("accepted");
    const ends = await Promise.all(
      clients.map(async (client) => {
        const { code } = await client.expect("connack");
        if (code === 0) client.send(PINGREQ);
        const next = await client.next().catch(() => null);
        return next?.type === "pingresp" ? "served" : "closed";
      }),
    );
    assert.deepEqual(ends.toSorted(), ["closed", "served"]);
  },
);
