import { expect, test } from "vitest";
import { type AutoSubscriptionRow, createAutoSubscribe } from "../auto-subscribe/index.ts";
import { createLog } from "../log/index.ts";
import type { Message } from "../mqtt/index.ts";
import { createRewrite, type RewriteRule } from "../rewrite/index.ts";
import { createBroker } from "./index.ts";
import { Rig, type RigOptions, until } from "./rig.testing.ts";

const log = createLog({ level: "fatal" }, { write: () => undefined });

async function withRig(options: RigOptions, body: (rig: Rig) => Promise<void>): Promise<void> {
  const rig = await Rig.start(createBroker, options);
  try {
    await body(rig);
  } finally {
    await rig.close();
  }
}

function rewriting(...rules: RewriteRule[]): RigOptions {
  const rewrite = createRewrite({ log }, rules);
  return { ports: () => ({ rewrite }) };
}

const RENAME: RewriteRule = {
  action: "all",
  source_topic: "old/#",
  re: "^old/(.*)$",
  dest_topic: "new/$1",
};

test.each([4, 5] as const)(
  "MQTT %i: publications, subscriptions and unsubscriptions are rewritten",
  (protocolVersion) =>
    withRig(rewriting(RENAME), async (rig) => {
      const watcher = await rig.connect({ protocolVersion });
      await watcher.subscribe("new/#", 1);
      const device = await rig.connect({ protocolVersion, clientId: "d" });
      await device.subscribe("old/+/a", 1);
      expect([...rig.broker.subscriptions()].map(({ filter }) => filter)).toEqual([
        "new/#",
        "new/+/a",
      ]);
      for (const qos of [0, 1, 2] as const) await device.publish("old/1/a", `m${qos}`, { qos });
      await until(() => device.texts.length === 3 && watcher.texts.length === 3);
      expect(new Set(watcher.received.map(({ topic }) => topic))).toEqual(new Set(["new/1/a"]));
      await device.publish("other", "not rewritten", { qos: 1 });
      await device.mqtt.unsubscribeAsync("old/+/a");
      expect([...rig.broker.subscriptions()].map(({ filter }) => filter)).toEqual(["new/#"]);
    }),
);

test("messages of an API, wills and retained messages are rewritten", () =>
  withRig(rewriting(RENAME), async (rig) => {
    const watcher = await rig.connect();
    await watcher.subscribe("new/#", 1);
    await rig.publish("old/api", "api", { qos: 1, retain: true });
    const dying = await rig.connect({
      will: { topic: "old/will", payload: Buffer.from("will"), qos: 1, retain: false },
    });
    await dying.drop();
    await until(() => watcher.texts.length === 2);
    expect(watcher.received.map(({ topic }) => topic)).toEqual(["new/api", "new/will"]);
    const late = await rig.connect();
    await late.subscribe("old/api", 1);
    await until(() => late.texts.length === 1);
  }));

test("a client needs the right to both names", () =>
  withRig(
    {
      ...rewriting(RENAME),
      isAllowed: ({ topic }) => !topic.startsWith("new/secret") && !topic.startsWith("old/no"),
    },
    async (rig) => {
      const got = rig.listen("new/#");
      const client = await rig.connect({ protocolVersion: 5 });
      const refused = { reasonCode: 0x87 };
      const codeOf = (topic: string) =>
        client.mqtt.publishAsync(topic, "x", { qos: 1 }).then(
          () => ({ reasonCode: 0 }),
          ({ code }: { code: number }) => ({ reasonCode: code }),
        );
      expect(await codeOf("old/secret")).toEqual(refused);
      expect(await codeOf("old/no")).toEqual(refused);
      expect(await codeOf("old/fine")).toEqual({ reasonCode: 0 });
      expect(await client.subscribe("old/secret")).toBe(128);
      expect(await client.subscribe("old/no")).toBe(128);
      expect(got.map(({ topic }) => topic)).toEqual(["new/fine"]);
    },
  ));

test("the large payload and the properties of a rewritten message are the publisher's", () =>
  withRig(rewriting(RENAME), async (rig) => {
    const got = rig.listen("new/#");
    const client = await rig.connect({ protocolVersion: 5 });
    const payload = "x".repeat(100_000);
    await client.mqtt.publishAsync("old/big", payload, {
      qos: 1,
      properties: { userProperties: { a: "b" }, contentType: "t" },
    });
    expect(got[0]?.payload.toString()).toBe(payload);
    expect(got[0]?.properties).toMatchObject({ contentType: "t", userProperties: [["a", "b"]] });
  }));

interface Kept {
  readonly message: Message;
  readonly delayMs: number;
}

/** A broker whose delayed messages go nowhere; `answer` is what the store says. */
function delaying(
  kept: Kept[],
  answer: () => Promise<void> | null = () => Promise.resolve(),
): RigOptions {
  const rewrite = createRewrite({ log }, [
    RENAME,
    { action: "publish", source_topic: "slow/#", re: "^slow/(.*)$", dest_topic: "$delayed/7/$1" },
  ]);
  return {
    ports: () => ({
      rewrite,
      delayed: {
        isEnabled: true,
        add(message: Message, delayMs: number): Promise<void> | null {
          const done = answer();
          if (done !== null) kept.push({ message, delayMs });
          return done;
        },
      },
    }),
  };
}

test("$delayed/{seconds}/{topic} waits for so long, or until a moment of the wall clock", () => {
  const kept: Kept[] = [];
  return withRig(delaying(kept), async (rig) => {
    const got = rig.listen("#");
    const client = await rig.connect({ clientId: "d", username: "u" });
    await client.publish("$delayed/15/t/1", "a", { qos: 1, retain: true });
    await client.publish("$delayed/0/t", "b", { qos: 2 });
    await client.publish("$delayed/5/old/x", "rewritten", { qos: 1 });
    await client.publish("slow/t", "by a rule", { qos: 1 });
    await client.publish(`$delayed/${Math.floor(Date.now() / 1000) + 60}/t`, "c", { qos: 1 });
    await client.publish("$delayed/1700000000/t", "d", { qos: 1 }).catch(() => undefined);
    await rig.publish("$delayed/3/api", "e", { qos: 1 });
    expect(got).toEqual([]);
    expect(kept.map(({ message, delayMs }) => [message.topic, Math.ceil(delayMs / 1000)])).toEqual([
      ["t/1", 15],
      ["t", 0],
      ["new/x", 5],
      ["t", 7],
      ["t", 60],
      ["api", 3],
    ]);
    expect(kept[0]?.message).toEqual({
      topic: "t/1",
      payload: Buffer.from("a"),
      qos: 1,
      retain: true,
      origin: { kind: "client", clientId: "d", username: "u" },
    });
  });
});

test("a delayed message is acknowledged when it is durable, and not before", async () => {
  const durable = Promise.withResolvers<void>();
  await withRig(
    delaying([], () => durable.promise),
    async (rig) => {
      const client = await rig.connect();
      let isAcknowledged = false;
      const done = client.publish("$delayed/9/t", "x", { qos: 1 }).then(() => {
        isAcknowledged = true;
      });
      const other = await rig.connect();
      await other.publish("t", "overtakes", { qos: 1 });
      expect(isAcknowledged).toBe(false);
      durable.resolve();
      await done;
    },
  );
});

const REFUSALS: readonly (readonly [string, () => Promise<void> | null])[] = [
  ["takes no more", () => null],
  ["fails", () => Promise.reject(new Error("disk"))],
];

test.each(REFUSALS)("a delayed message is refused when the store %s", (_, answer) =>
  withRig(delaying([], answer), async (rig) => {
    const code = 0x97;
    const client = await rig.connect({ protocolVersion: 5 });
    await expect(client.publish("$delayed/9/t", "x", { qos: 1 })).rejects.toMatchObject({ code });
    await expect(client.publish("$delayed/9/t", "x", { qos: 2 })).rejects.toMatchObject({ code });
    await client.publish("t", "still here", { qos: 2 });
  }),
);

test.each(["$delayed/x/t", "$delayed/5", "$delayed/5/", "$delayed/-1/t", "$delayed/9999999999/t"])(
  "%s is no delayed topic and is refused",
  (name) => {
    const kept: Kept[] = [];
    return withRig(delaying(kept), async (rig) => {
      const client = await rig.connect({ protocolVersion: 5 });
      const refused = client.publish(name, "x", { qos: 1 });
      await expect(refused).rejects.toMatchObject({ code: 0x90 });
      await expect(rig.publish(name, "x")).rejects.toMatchObject({ code: "MQTT_TOPIC_INVALID" });
      expect(kept).toEqual([]);
    });
  },
);

test("the rights to the real topic decide about a delayed message", () => {
  const kept: Kept[] = [];
  const isAllowed: RigOptions["isAllowed"] = ({ topic }) => topic === "mine";
  return withRig({ ...delaying(kept), isAllowed }, async (rig) => {
    const client = await rig.connect({ protocolVersion: 5 });
    const denied = client.publish("$delayed/1/yours", "x", { qos: 1 });
    await expect(denied).rejects.toMatchObject({ code: 0x87 });
    await client.publish("$delayed/1/mine", "x", { qos: 1 });
    expect(kept.map(({ message }) => message.topic)).toEqual(["mine"]);
  });
});

function subscribing(...rows: AutoSubscriptionRow[]): RigOptions {
  const autoSubscriptions = createAutoSubscribe({ log }, rows);
  return { ports: () => ({ autoSubscriptions }) };
}

const ROW = { topic: "c/${clientid}", qos: 1, rh: 0, rap: 0, nl: 0 } as const;

test.each([true, false])("clients are subscribed after CONNACK (clean: %s)", (clean) =>
  withRig(subscribing(ROW, { ...ROW, topic: "u/${username}" }), async (rig) => {
    await rig.publish("c/d1", "retained", { qos: 1, retain: true });
    const client = await rig.connect({ clientId: "d1", clean });
    await rig.publish("c/d1", "live", { qos: 1 });
    await until(() => client.texts.length === 2);
    expect(client.texts).toEqual(["retained", "live"]);
    expect([...rig.broker.subscriptions()]).toMatchObject([{ filter: "c/d1", qos: 1 }]);
    await client.end();
    await until(() => rig.broker.client("d1")?.isConnected !== true);
    await rig.publish("c/d1", "meanwhile", { qos: 1 });
    const again = await rig.connect({ clientId: "d1", clean });
    await until(() => again.texts.length === (clean ? 1 : 2));
    expect(again.texts.includes("meanwhile")).toBe(!clean);
  }),
);

test("an automatic subscription is the administrator's: no access rule takes it away", () =>
  withRig({ ...subscribing(ROW), isAllowed: () => false }, async (rig) => {
    const client = await rig.connect({ clientId: "d1", clean: false });
    expect(await client.subscribe("c/other")).toBe(128);
    await client.end();
    const again = await rig.connect({ clientId: "d1", clean: false });
    await rig.publish("c/d1", "x", { qos: 1 });
    await until(() => again.texts.length === 1);
  }));

test.each([
  [4, 5],
  [5, 0x8a],
] as const)(
  "MQTT %i: a banned client is refused with %i before its password is asked for",
  (protocolVersion, code) => {
    let asked = 0;
    const authenticate = async () => {
      asked++;
      return "accepted" as const;
    };
    const admission = { isBanned: ({ clientId }: { clientId: string }) => clientId === "bad" };
    return withRig({ authenticate, ports: () => ({ admission }) }, async (rig) => {
      expect(await rig.returnCodeOf({ clientId: "bad", protocolVersion })).toBe(code);
      expect(asked).toBe(0);
      expect(await rig.returnCodeOf({ clientId: "good", protocolVersion })).toBe(0);
    });
  },
);

test("a client that is banned while its password is checked does not get in", async () => {
  let isBanned = false;
  const authenticate = async () => {
    isBanned = true;
    return "accepted" as const;
  };
  await withRig(
    { authenticate, ports: () => ({ admission: { isBanned: () => isBanned } }) },
    async (rig) => {
      expect(await rig.returnCodeOf({ clientId: "bad" })).toBe(5);
      expect([...rig.broker.clients()]).toEqual([]);
    },
  );
});
