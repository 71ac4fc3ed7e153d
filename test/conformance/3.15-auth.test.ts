import assert from "node:assert/strict";
import { authPacket } from "./packets.ts";
import { suite } from "./suite.ts";

const rule = suite();

rule(
  "an AUTH with flags other than 0000 closes the connection {5.0 [MQTT-3.15.1-1]}",
  async (s) => {
    for (const flags of [1, 2, 4, 8, 15]) {
      const client = await s.connect();
      const packet = authPacket(0x19, { authenticationMethod: "x" });
      client.send([0xf0 | flags], packet.subarray(1));
      await client.refused(0x81);
    }
  },
);

rule(
  "an Authentication Method the server does not know is refused and closed {5.0 [MQTT-4.12.0-1] [MQTT-4.12.0-4]}",
  async (s) => {
    for (const authenticationMethod of ["SCRAM-SHA-1", "GS2-KRB5", "", "é"]) {
      for (const extra of [{}, { authenticationData: Buffer.from([1, 2]) }]) {
        const client = await s.open();
        const properties = { authenticationMethod, ...extra };
        const { code } = await client.connect({ clientId: s.id("x"), properties });
        assert(code === 0x8c || code === 0x87);
        await client.closed();
      }
    }
  },
);

rule(
  "without an Authentication Method there is none in CONNACK, and no AUTH comes {5.0 [MQTT-4.12.0-6]}",
  async (s) => {
    const { client, connack } = await s.connected({ username: "u", password: "p" });
    assert.equal(connack.properties.authenticationMethod, undefined);
    assert.equal(connack.properties.authenticationData, undefined);
    await client.quiet();
  },
);

rule(
  "an AUTH from a client that named no method closes the connection {5.0 [MQTT-4.12.0-7]}",
  async (s) => {
    for (const code of [0x00, 0x18, 0x19]) {
      const client = await s.connect();
      client.send(authPacket(code, { authenticationMethod: "x" }));
      await client.refused(0x82);
    }
    const bare = await s.connect();
    bare.send([0xf0, 0]);
    await bare.refused(0x81, 0x82);
  },
);
