import { expect, test } from "vitest";
import { topicFilter } from "../mqtt/index.ts";
import { brokerBehaviour } from "./behaviour.testing.ts";
import { createBroker } from "./index.ts";
import { Rig, until } from "./rig.testing.ts";

brokerBehaviour("the broker", createBroker);

// aedes 1.2.0's client writes PUBACK before it routes the message, so nothing a handler does can
// hold it back; PUBREC and the promise of `publish` do wait.
test("aedes acknowledges QoS 1 before a handler's promise resolves", async () => {
  const rig = await Rig.start(createBroker);
  try {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    rig.broker.subscribe(topicFilter("slow"), () => gate);
    await (await rig.connect()).publish("slow", "x", { qos: 1 });
    open();
  } finally {
    await rig.close();
  }
});

test("wills of clients a crash cut off are published at the start, where they may be", async () => {
  const rig = await Rig.start(createBroker, {
    isAllowed: ({ username, topic }) => topic !== "secret" || username === "admin",
  });
  try {
    const keeper = await rig.connect({ clientId: "keeper", clean: false });
    await keeper.subscribe("#", 1);
    await keeper.end();
    // What the store holds of clients that were connected when the power failed.
    const will = { payload: Buffer.from("gone"), qos: 1, retain: false };
    const { persistence } = rig.store;
    await persistence.putWill({ id: "a" }, { ...will, topic: "secret", username: "admin" });
    await persistence.putWill({ id: "b" }, { ...will, topic: "secret", username: null });
    await persistence.putWill({ id: "c" }, { ...will, topic: "open", username: null });
    await rig.restart();
    await rig.restart();
    const again = await rig.connect({ clientId: "keeper", clean: false });
    await until(() => again.received.length >= 2);
    await rig.publish("last", "x", { qos: 1 });
    await until(() => again.texts.includes("x"));
    expect(again.received.map(({ topic }) => topic)).toEqual(["secret", "open", "last"]);
  } finally {
    await rig.close();
  }
});

test("a store that fails under the broker is reported as fatal", async () => {
  const rig = await Rig.start(createBroker);
  try {
    Object.defineProperty(rig.store.persistence, "subscriptionsByTopic", {
      value: () => Promise.reject(new Error("disk gone")),
    });
    const client = await rig.connect();
    client.mqtt.publish("t", "x", { qos: 1 });
    await until(() => rig.fatal.length > 0);
    expect(rig.fatal[0]?.message).toBe("disk gone");
  } finally {
    await rig.close();
  }
});
