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
