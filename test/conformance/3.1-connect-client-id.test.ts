import assert from "node:assert/strict";
import { suite } from "./suite.ts";
import { bytes, frame, text } from "./wire.ts";

const rule = suite();

rule(
  "a CONNECT without a Client Identifier field is closed {3.1.1 [MQTT-3.1.3-3]} {5.0 [MQTT-3.1.3-3]}",
  async (s) => {
    const head = bytes(text("MQTT"), [s.isV5 ? 5 : 4, 0x02, 0, 0], s.isV5 ? [0] : []);
    for (const rest of [[], [0], [0, 5, 0x61]]) {
      const client = await s.open();
      client.send(frame(0x10, head, rest));
      await client.turnedAway(0x81);
    }
  },
);

rule(
  "Client Identifier, Will Topic and User Name that are not valid text are closed {3.1.1 [MQTT-3.1.3-4] [MQTT-3.1.3-10] [MQTT-3.1.3-11]} {5.0 [MQTT-3.1.3-4] [MQTT-3.1.3-11] [MQTT-3.1.3-12]}",
  async (s) => {
    for (const bad of [
      [0x61, 0xff],
      [0x61, 0],
    ]) {
      for (const fields of [{ clientId: bad }, { will: { topic: bad } }, { username: bad }]) {
        const client = await s.open();
        client.begin({ clientId: s.id("x"), ...fields });
        await client.turnedAway(0x81);
      }
    }
  },
);

rule(
  "Client Identifiers of 1 to 23 digits and Latin letters are accepted {3.1.1 [MQTT-3.1.3-5]} {5.0 [MQTT-3.1.3-5]}",
  {},
  async (s) => {
    const ids = [
      "a",
      "0",
      "0123456789abcdefghijklm",
      "nopqrstuvwxyzABCDEFGHIJ",
      "KLMNOPQRSTUVWXYZ",
      "Z".repeat(23),
    ];
    for (const clientId of ids) {
      const client = await s.connect({ clientId });
      await client.quiet();
    }
  },
);

rule(
  "clients with an empty Client Identifier get one each and are served {3.1.1 [MQTT-3.1.3-6]} {5.0 [MQTT-3.1.3-6] [MQTT-3.2.2-16]}",
  async (s) => {
    const clients = await Promise.all([1, 2, 3].map(() => s.connected({ clientId: "" })));
    for (const { client, connack } of clients) {
      await client.subscribe(s.topic());
      assert.equal(connack.sessionPresent, false);
    }
    const publisher = await s.connect();
    await publisher.publish({ topic: s.topic(), payload: "all", qos: 1 });
    for (const { client } of clients) await client.messages("all");
    const ids = clients.map(({ connack }) => connack.properties.assignedClientIdentifier);
    if (s.isV5) assert.equal(new Set(ids).size, 3);
  },
);

rule(
  "an assigned Client Identifier is as good as one of the client's own {5.0 [MQTT-3.1.3-7]}",
  async (s) => {
    for (const keep of [false, true]) {
      const { client, connack } = await s.connected({ clientId: "", keep });
      const { assignedClientIdentifier: clientId = "" } = connack.properties;
      assert.notEqual(clientId, "");
      const again = await s.connected({ clientId, keep });
      await client.refused(0x8e);
      assert.equal(again.connack.sessionPresent, keep);
      assert.equal(again.connack.properties.assignedClientIdentifier, undefined);
    }
  },
);

rule(
  "an empty Client Identifier with Clean Session 0 gets return code 2 and is closed {3.1.1 [MQTT-3.1.3-7] [MQTT-3.1.3-8]}",
  async (s) => {
    const client = await s.open();
    const { code } = await client.connect({ clientId: "", cleanStart: false });
    assert.equal(code, 2);
    await client.closed();
  },
);

rule(
  "a Client Identifier that is refused is told so and closed {3.1.1 [MQTT-3.1.3-9]} {5.0 [MQTT-3.1.3-8]}",
  {
    prepare: ({ aedes }) => {
      aedes.authenticate = (client, _username, _password, done) => {
        const refusal = Object.assign(new Error("not this one"), { returnCode: 2 });
        done(client.id === "refused" ? refusal : null, client.id !== "refused");
      };
    },
  },
  async (s) => {
    const client = await s.open();
    const { code } = await client.connect({ clientId: "refused" });
    assert.equal(code, s.isV5 ? 0x85 : 2);
    await client.closed();
    await s.connect({ clientId: "taken" });
  },
);
