import { Aedes } from "aedes";
import { expect, test } from "vitest";
import { createBroker } from "./index.ts";
import { Rig, until } from "./rig.testing.ts";

async function withRig(body: (rig: Rig) => Promise<void>): Promise<void> {
  const rig = await Rig.start(createBroker);
  try {
    await body(rig);
  } finally {
    await rig.close();
  }
}

test("aedes's events tell of a client's life", () =>
  withRig(async (rig) => {
    const { aedes } = rig.broker;
    expect(aedes).toBeInstanceOf(Aedes);
    const seen: string[] = [];
    aedes.on("client", ({ id }) => void seen.push(`client ${id}`));
    aedes.on("clientReady", ({ id }) => void seen.push(`ready ${id}`));
    aedes.on("clientDisconnect", ({ id }) => void seen.push(`gone ${id}`));
    aedes.on("subscribe", (list, { id }) => void seen.push(`${id} + ${list[0]?.topic}`));
    aedes.on("unsubscribe", (list, { id }) => void seen.push(`${id} - ${list[0]}`));
    aedes.on("ping", (_, { id }) => void seen.push(`ping ${id}`));
    aedes.on("publish", ({ topic }, client) => void seen.push(`${client?.id} > ${topic}`));
    const client = await rig.connect({ clientId: "c" });
    await client.subscribe("a");
    await client.publish("t", "x", { qos: 1 });
    await client.mqtt.unsubscribeAsync("a");
    await client.end();
    await until(() => seen.includes("gone c"));
    expect(seen).toEqual(["client c", "ready c", "c + a", "c > t", "c - a", "gone c"]);
  }));

test("aedes's hooks decide, also later, and in order", () =>
  withRig(async (rig) => {
    const { aedes } = rig.broker;
    const seen = rig.listen("#");
    aedes.authenticate = (_client, username, _password, done) =>
      setImmediate(() => done(null, username === "good"));
    aedes.authorizePublish = (_client, { topic }, done) =>
      setImmediate(() => done(topic === "bad" ? new Error("no") : null));
    aedes.authorizeSubscribe = (_client, subscription, done) =>
      done(null, subscription.topic === "bad" ? null : subscription);
    aedes.authorizeForward = (_client, packet) => (packet.topic === "hidden" ? null : packet);
    expect(await rig.returnCodeOf({ username: "evil", password: "x" })).toBe(5);
    const client = await rig.connect({ username: "good", password: "x" });
    expect(await client.subscribe("bad", 1)).toBe(128);
    expect(await client.subscribe("#", 1)).toBe(1);
    for (const name of ["one", "bad", "hidden", "two"]) {
      client.mqtt.publish(name, name, { qos: name === "one" ? 1 : 0 });
    }
    await until(() => client.texts.includes("two"));
    expect(client.texts).toEqual(["one", "two"]);
    expect(seen.map(({ topic }) => topic)).toEqual(["one", "hidden", "two"]);
  }));

test("aedes's publish, subscribe and unsubscribe work within the process", () =>
  withRig(async (rig) => {
    const { aedes } = rig.broker;
    const seen: string[] = [];
    const deliver = ({ topic }: { topic: string }, done: () => void) => {
      seen.push(topic);
      done();
    };
    await new Promise<void>((resolve) => aedes.subscribe("a/+", deliver, resolve));
    const publish = (topic: string) =>
      new Promise<void>((resolve, reject) => {
        const packet = { cmd: "publish", qos: 1, dup: false, retain: false } as const;
        aedes.publish({ ...packet, topic, payload: "x" }, (err?: Error) =>
          err ? reject(err) : resolve(),
        );
      });
    await publish("a/b");
    await new Promise<void>((resolve) => aedes.unsubscribe("a/+", deliver, resolve));
    await publish("a/c");
    await expect(publish("a/#")).rejects.toMatchObject({ code: "MQTT_TOPIC_INVALID" });
    expect(seen).toEqual(["a/b"]);
  }));

test("clients and connectedClients follow who is connected, whatever a client calls itself", () =>
  withRig(async (rig) => {
    const { aedes } = rig.broker;
    const proto: string = "__proto__";
    expect([aedes.connectedClients, Object.keys(aedes.clients)]).toEqual([0, []]);
    expect(Object.getPrototypeOf(aedes.clients)).toBeNull();
    expect(aedes.clients[proto]).toBeUndefined();
    const odd = await rig.connect({ clientId: proto });
    const kept = await rig.connect({ clientId: "kept", clean: false });
    expect(aedes.connectedClients).toBe(2);
    expect(Object.keys(aedes.clients)).toEqual(["__proto__", "kept"]);
    expect(aedes.clients[proto]).toMatchObject({
      id: "__proto__",
      connected: true,
      version: 4,
    });
    expect("kept" in aedes.clients && "other" in aedes.clients).toBe(false);
    const again = await rig.connect({ clientId: "kept", clean: false });
    await kept.closed();
    expect(aedes.connectedClients).toBe(2);
    await again.end();
    await until(() => rig.broker.client("kept")?.isConnected === false);
    expect([aedes.connectedClients, Object.keys(aedes.clients)]).toEqual([1, ["__proto__"]]);
    await odd.drop();
    await until(() => aedes.connectedClients === 0);
  }));

test("preConnect refuses a client before it is asked who it is", () =>
  withRig(async (rig) => {
    const asked: unknown[] = [];
    const { aedes } = rig.broker;
    aedes.preConnect = (_client, packet, done) => done(null, packet.clientId !== "bad");
    aedes.authenticate = (client, _username, _password, done) => {
      asked.push(client.id);
      done(null, true);
    };
    expect(await rig.returnCodeOf({ clientId: "bad" })).toBe(5);
    expect(await rig.returnCodeOf({ clientId: "good" })).toBe(0);
    expect(asked).toEqual(["good"]);
  }));

test("published is called for every message, and a QoS 1 publisher waits for it", () =>
  withRig(async (rig) => {
    const { aedes } = rig.broker;
    const seen: unknown[] = [];
    let isDone = false;
    aedes.published = (packet, client, done) => {
      seen.push([packet.topic, client?.id]);
      setImmediate(() => {
        isDone = true;
        done();
      });
    };
    const client = await rig.connect({ clientId: "c" });
    await client.publish("t", "x", { qos: 1 });
    expect(isDone).toBe(true);
    await rig.publish("bus", "x", { qos: 1 });
    expect(seen.filter((entry) => !String(entry).startsWith("$SYS"))).toEqual([
      ["t", "c"],
      ["bus", undefined],
    ]);
  }));

test("a hook may change what is published, who gets what, and what is subscribed", () =>
  withRig(async (rig) => {
    const { aedes } = rig.broker;
    aedes.authorizePublish = (_client, packet, done) => {
      if (packet.topic === "from") Object.assign(packet, { topic: "to", payload: "changed" });
      done();
    };
    aedes.authorizeForward = (client, packet) =>
      client.id === "two" ? Object.assign(packet, { payload: Buffer.from("for two") }) : packet;
    aedes.authorizeSubscribe = (_client, { qos }, done) =>
      done(null, { topic: "to", qos: qos && 1 });
    const one = await rig.connect({ clientId: "one" });
    const two = await rig.connect({ clientId: "two", clean: false });
    expect(await one.subscribe("anything", 2)).toBe(1);
    await two.subscribe("anything", 2);
    expect([...rig.broker.subscriptions()]).toMatchObject([{ filter: "to" }, { filter: "to" }]);
    await one.publish("from", "x", { qos: 1 });
    await until(() => one.texts.length + two.texts.length === 2);
    expect([one.received, two.received]).toMatchObject([
      [{ topic: "to", text: "changed", qos: 1 }],
      [{ topic: "to", text: "for two", qos: 1 }],
    ]);
  }));

test("authorizePublish decides about wills, which have no client any more", () =>
  withRig(async (rig) => {
    const seen = rig.listen("w/#");
    rig.broker.aedes.authorizePublish = (client, { topic }, done) =>
      done(client === null && topic === "w/bad" ? new Error("no") : null);
    for (const topic of ["w/bad", "w/good"]) {
      const will = { topic, payload: Buffer.from("gone"), qos: 0, retain: false } as const;
      await (await rig.connect({ will })).drop();
    }
    await until(() => seen.length > 0);
    expect(seen.map(({ topic }) => topic)).toEqual(["w/good"]);
  }));

test("connackSent tells of every answer to CONNECT", () =>
  withRig(async (rig) => {
    const seen: unknown[] = [];
    rig.broker.aedes.on("connackSent", (packet, { id }) => void seen.push({ ...packet, id }));
    const client = await rig.connect({ clientId: "c", clean: false });
    await client.end();
    await until(() => rig.broker.client("c")?.isConnected === false);
    await rig.connect({ clientId: "c", clean: false });
    rig.verdict = "not_authorized";
    await rig.returnCodeOf({ clientId: "d" });
    expect(seen).toEqual([
      { cmd: "connack", id: "c", returnCode: 0, sessionPresent: false },
      { cmd: "connack", id: "c", returnCode: 0, sessionPresent: true },
      { cmd: "connack", id: "d", returnCode: 0x87, sessionPresent: false },
    ]);
  }));

test("ping and ack name the packet and its client", () =>
  withRig(async (rig) => {
    const { aedes } = rig.broker;
    const seen: unknown[] = [];
    aedes.on("ping", ({ cmd }, { id }) => void seen.push([cmd, id]));
    aedes.on("ack", ({ cmd, messageId }, { id }) => void seen.push([cmd, typeof messageId, id]));
    const client = await rig.connect({ clientId: "c" });
    await client.subscribe("t", 2);
    for (const qos of [1, 2] as const) await rig.publish("t", "x", { qos });
    await until(() => seen.length === 2);
    client.mqtt.sendPing();
    await until(() => seen.length === 3);
    expect(seen).toEqual([
      ["publish", "number", "c"],
      ["pubrel", "number", "c"],
      ["pingreq", "c"],
    ]);
  }));

test("a fault is a connectionError before the client is known, then a clientError", () =>
  withRig(async (rig) => {
    const { aedes } = rig.broker;
    const seen: unknown[] = [];
    aedes.on("connectionError", (client, err) => void seen.push([client.id, err.message]));
    aedes.on("clientError", (client, err) => void seen.push([client.id, err.message]));
    const unknown = await rig.raw();
    unknown.send([0x30, 0]);
    await unknown.closed();
    const known = await rig.rawConnected("c");
    known.send([0x00, 0]);
    await known.closed();
    expect(seen).toEqual([
      ["", expect.any(String)],
      ["c", expect.any(String)],
    ]);
  }));

test("keepaliveTimeout names the client that was silent", () =>
  withRig(async (rig) => {
    const seen: string[] = [];
    rig.broker.aedes.on("keepaliveTimeout", ({ id }) => void seen.push(id));
    const silent = await rig.rawConnected("c", { keepAliveS: 1 });
    await silent.closed();
    expect(seen).toEqual(["c"]);
  }));

test("closed is told once the broker has stopped", () =>
  withRig(async (rig) => {
    const { aedes } = rig.broker;
    let count = 0;
    aedes.on("closed", () => void count++);
    await rig.broker.stop();
    aedes.close();
    expect([count, aedes.closed]).toEqual([1, true]);
  }));
