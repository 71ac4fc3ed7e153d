import { describe, expect, test } from "vitest";
import { topicFilter } from "../mqtt/index.ts";
import type { WithRig } from "./behaviour.testing.ts";
import { connectFrame, frame, text, until } from "./rig.testing.ts";

/** Sessions: what is kept, resumed, taken over, and told of. */
export function sessionBehaviour(withRig: WithRig): void {
  describe("sessions", () => {
    test("messages of QoS 1 and 2 wait for a session left behind, in order, over a restart", () =>
      withRig({}, async (rig) => {
        const before = await rig.connect({ clientId: "c", clean: false });
        await before.subscribe("q/#", 2);
        await before.end();
        await until(() => rig.broker.client("c")?.isConnected === false);
        for (let n = 0; n < 20; n++) {
          await rig.publish("q/1", `a${n}`, { qos: 1 });
          await rig.publish("q/2", `a${n}`, { qos: 2 });
        }
        await rig.publish("q/x", "QoS 0 is not kept");
        await rig.restart();
        for (let n = 0; n < 20; n++) await rig.publish("q/1", `b${n}`, { qos: 1 });
        const after = await rig.connect({ clientId: "c", clean: false });
        await until(() => after.received.length >= 60);
        const a = Array.from({ length: 20 }, (_, n) => `a${n}`);
        const b = Array.from({ length: 20 }, (_, n) => `b${n}`);
        const on = (name: string) => after.received.filter(({ topic }) => topic === name);
        expect(on("q/1").map(({ text }) => text)).toEqual([...a, ...b]);
        expect(on("q/2").map(({ text }) => text)).toEqual(a);
      }));

    test("messages a client acknowledged do not come again", () =>
      withRig({}, async (rig) => {
        const before = await rig.connect({ clientId: "c", clean: false });
        await before.subscribe("q", 2);
        for (const qos of [1, 2] as const) await rig.publish("q", `QoS ${qos}`, { qos });
        await until(() => before.received.length === 2);
        await until(() => rig.store.status().queuedMessages === 0);
        await before.end();
        await rig.restart();
        const after = await rig.connect({ clientId: "c", clean: false });
        await rig.publish("q", "new", { qos: 1 });
        await until(() => after.texts.includes("new"));
        expect(after.texts).toEqual(["new"]);
      }));

    test("session present is announced for a session that is there [MQTT-3.2.2-2]", () =>
      withRig({}, async (rig) => {
        const flags: (number | undefined)[] = [];
        for (const clean of [false, false, true, false]) {
          const raw = await rig.raw();
          raw.send(connectFrame("c", { clean }));
          flags.push((await raw.frame())[2]);
          raw.send(frame(0x82, [0, 1], text("t"), [1]));
          await raw.frame();
          raw.send([0xe0, 0]);
          await raw.closed();
          await until(() => rig.broker.client("c")?.isConnected !== true);
        }
        expect(flags).toEqual([0, 1, 0, 0]);
      }));

    test("Clean Session ends the stored session and what waits in it [MQTT-3.1.2-6]", () =>
      withRig({}, async (rig) => {
        const one = await rig.connect({ clientId: "c", clean: false });
        await one.subscribe("q", 1);
        await one.end();
        await until(() => rig.broker.client("c")?.isConnected === false);
        await rig.publish("q", "old", { qos: 1 });
        await (await rig.connect({ clientId: "c", clean: true })).end();
        await until(() => rig.broker.client("c") === undefined);
        expect([...rig.broker.subscriptions()]).toEqual([]);
        await rig.restart();
        expect([...rig.broker.clients()]).toEqual([]);
        const two = await rig.connect({ clientId: "c", clean: false });
        await two.subscribe("q", 1);
        await rig.publish("q", "new", { qos: 1 });
        await until(() => two.received.length > 0);
        expect(two.texts).toEqual(["new"]);
      }));

    test("a session left behind is listed with its subscriptions, over a restart too", () =>
      withRig({}, async (rig) => {
        const client = await rig.connect({
          clientId: "c",
          clean: false,
          username: "u",
          password: "p",
          keepalive: 77,
        });
        await client.subscribe("a/#", 1);
        await client.subscribe("b", 0);
        await client.subscribe("gone", 2);
        await client.mqtt.unsubscribeAsync("gone");
        await client.subscribe("b", 2);
        await (await rig.connect({ clientId: "d", clean: true })).subscribe("x");
        await rig.restart();
        expect([...rig.broker.clients()]).toEqual([
          expect.objectContaining({
            clientId: "c",
            isConnected: false,
            username: "u",
            protocolVersion: 4,
            cleanStart: false,
            keepAliveS: 77,
            listener: "tcp",
            peerAddress: "127.0.0.1",
          }),
        ]);
        expect([...rig.broker.subscriptions()]).toEqual(
          expect.arrayContaining([
            expect.objectContaining({ clientId: "c", filter: "a/#", qos: 1 }),
            expect.objectContaining({ clientId: "c", filter: "b", qos: 2 }),
          ]),
        );
        expect([...rig.broker.subscriptions()]).toHaveLength(2);
      }));

    test("a connected client is listed with what its CONNECT says", () =>
      withRig({}, async (rig) => {
        const will = { topic: "w", payload: Buffer.from("x"), qos: 1, retain: false } as const;
        await rig.connect({ clientId: "c", keepalive: 5, will });
        expect(rig.broker.client("c")).toMatchObject({
          isConnected: true,
          username: null,
          protocolVersion: 4,
          cleanStart: true,
          keepAliveS: 5,
          will: { topic: "w", payload: Buffer.from("x"), qos: 1 },
        });
        expect(rig.broker.client("unknown")).toBeUndefined();
      }));

    test("a client without a stored session is forgotten when it goes", () =>
      withRig({}, async (rig) => {
        const client = await rig.connect({ clientId: "c", clean: true });
        await client.subscribe("t", 1);
        await client.end();
        await until(() => rig.broker.client("c") === undefined);
        expect([...rig.broker.subscriptions()]).toEqual([]);
      }));

    test("a second connection takes the client id over [MQTT-3.1.4-2]", () =>
      withRig({}, async (rig) => {
        for (const clean of [true, false]) {
          const one = await rig.connect({ clientId: "c", clean });
          await one.subscribe("t", 1);
          const two = await rig.connect({ clientId: "c", clean });
          await one.closed();
          if (clean) await two.subscribe("t", 1);
          expect(rig.broker.client("c")).toMatchObject({ isConnected: true });
          await rig.publish("t", `clean ${clean}`, { qos: 1 });
          await until(() => two.texts.includes(`clean ${clean}`));
          expect([...rig.broker.subscriptions()]).toMatchObject([
            { clientId: "c", filter: "t", qos: 1 },
          ]);
          expect(one.received).toEqual([]);
          await two.end();
          await until(() => rig.broker.client("c")?.isConnected !== true);
        }
      }));

    test("Clean Session over a connected stored session ends that session for good", () =>
      withRig({}, async (rig) => {
        const one = await rig.connect({ clientId: "c", clean: false });
        await one.subscribe("t", 1);
        const two = await rig.connect({ clientId: "c", clean: true });
        await one.closed();
        await two.end();
        await until(() => rig.broker.client("c") === undefined);
        await rig.restart();
        expect([...rig.broker.clients()]).toEqual([]);
        expect(rig.store.status().sessions).toBe(0);
      }));

    test("twenty takeovers at once leave one connected client and its session", () =>
      withRig({}, async (rig) => {
        await Promise.allSettled(
          Array.from({ length: 20 }, () =>
            rig.connect({ clientId: "c", clean: false, connectTimeout: 2000 }),
          ),
        );
        const last = await rig.connect({ clientId: "c", clean: false });
        await last.subscribe("t", 1);
        expect([...rig.broker.clients()]).toMatchObject([{ clientId: "c", isConnected: true }]);
        await rig.publish("t", "x", { qos: 1 });
        await until(() => last.texts.includes("x"));
      }));

    test("a connection that ends while its CONNECT is worked on leaves no client behind", async () => {
      const { promise: gate, resolve: open } = Promise.withResolvers<void>();
      const authenticate = async () => {
        await gate;
        return "accepted" as const;
      };
      await withRig({ authenticate }, async (rig) => {
        const raws = await Promise.all(Array.from({ length: 5 }, () => rig.raw()));
        raws.forEach((raw, n) => {
          raw.send(connectFrame(`c${n}`, { clean: false }));
          raw.socket.end();
        });
        await Promise.all(raws.map((raw) => raw.closed()));
        open();
        await rig.connect({ clientId: "other" });
        expect([...rig.broker.clients()].filter(({ isConnected }) => isConnected)).toMatchObject([
          { clientId: "other" },
        ]);
      });
    });

    test("over the queue limit the oldest message is dropped and counted", () =>
      withRig({ msqLen: 3 }, async (rig) => {
        const before = await rig.connect({ clientId: "c", clean: false });
        await before.subscribe("q", 1);
        await before.end();
        await until(() => rig.broker.client("c")?.isConnected === false);
        for (let n = 1; n <= 5; n++) await rig.publish("q", `${n}`, { qos: 1 });
        expect(rig.broker.counters().dropped.queue_full).toBe(2);
        rig.broker.reconfigure({ msqLen: 4 });
        for (let n = 6; n <= 7; n++) await rig.publish("q", `${n}`, { qos: 1 });
        expect(rig.broker.counters().dropped.queue_full).toBe(3);
        const after = await rig.connect({ clientId: "c", clean: false });
        await until(() => after.received.length >= 4);
        expect(after.texts).toEqual(["4", "5", "6", "7"]);
      }));

    test("stop closes the clients, publishes their wills, and may be called twice", () =>
      withRig({}, async (rig) => {
        const keeper = await rig.connect({ clientId: "keeper", clean: false });
        await keeper.subscribe("will", 1);
        const will = { topic: "will", payload: Buffer.from("gone"), qos: 1, retain: true } as const;
        const client = await rig.connect({ will });
        const { broker } = rig;
        await Promise.all([broker.stop(), broker.stop()]);
        await client.closed();
        await rig.restart();
        const again = await rig.connect({ clientId: "keeper", clean: false });
        await until(() => again.texts.includes("gone"));
        expect(rig.broker.retainedCount()).toBe(1);
      }));

    test("disconnect closes a client and says whether it was connected", () =>
      withRig({}, async (rig) => {
        const client = await rig.connect({ clientId: "c" });
        expect(rig.broker.disconnect("c")).toBe(true);
        await client.closed();
        await until(() => rig.broker.client("c") === undefined);
        expect(rig.broker.disconnect("c")).toBe(false);
        expect(rig.broker.disconnect("__proto__")).toBe(false);
      }));
  });

  describe("subscriptions made for a client", () => {
    const wanted = [{ filter: topicFilter("s/#"), qos: 1 }] as const;

    test("a connected client gets retained and new messages, and keeps the subscription", () =>
      withRig({}, async (rig) => {
        await rig.publish("s/r", "retained", { qos: 1, retain: true });
        const before = await rig.connect({ clientId: "c", clean: false });
        await rig.broker.subscribeClient("c", wanted);
        await until(() => before.texts.includes("retained"));
        await rig.publish("s/x", "new", { qos: 1 });
        await until(() => before.texts.includes("new"));
        await rig.restart();
        expect([...rig.broker.subscriptions()]).toMatchObject([
          { clientId: "c", filter: "s/#", qos: 1 },
        ]);
        const after = await rig.connect({ clientId: "c", clean: false });
        await rig.broker.unsubscribeClient("c", [topicFilter("s/#")]);
        await rig.publish("s/x", "later", { qos: 1 });
        await rig.restart();
        expect([...rig.broker.subscriptions()]).toEqual([]);
        expect(after.texts).not.toContain("later");
      }));

    test("a session left behind gets them when it comes back", () =>
      withRig({}, async (rig) => {
        await rig.publish("s/r", "retained", { qos: 1, retain: true });
        await (await rig.connect({ clientId: "c", clean: false })).end();
        await until(() => rig.broker.client("c")?.isConnected === false);
        await rig.broker.subscribeClient("c", wanted);
        await rig.publish("s/x", "new", { qos: 1 });
        await rig.restart();
        const client = await rig.connect({ clientId: "c", clean: false });
        await until(() => client.received.length >= 2);
        expect(client.texts).toEqual(["retained", "new"]);
        await client.end();
        await until(() => rig.broker.client("c")?.isConnected === false);
        await rig.broker.unsubscribeClient("c", [topicFilter("s/#")]);
        expect([...rig.broker.subscriptions()]).toEqual([]);
      }));

    test("an unknown client is an error, and so is a filter the access rules deny", () =>
      withRig({ isAllowed: ({ topic }) => topic !== "s/#" }, async (rig) => {
        const unknown = { code: "CLIENT_NOT_FOUND" };
        await expect(rig.broker.subscribeClient("nobody", wanted)).rejects.toMatchObject(unknown);
        await expect(rig.broker.unsubscribeClient("__proto__", [])).rejects.toMatchObject(unknown);
        await rig.connect({ clientId: "c" });
        await expect(rig.broker.subscribeClient("c", wanted)).rejects.toMatchObject({
          code: "SUBSCRIPTION_DENIED",
        });
        expect([...rig.broker.subscriptions()]).toEqual([]);
      }));
  });

  describe("wills", () => {
    const will = { topic: "w", payload: Buffer.from("gone"), qos: 1, retain: false } as const;

    test("a will is published when the connection is lost, not after DISCONNECT", () =>
      withRig({}, async (rig) => {
        const seen = rig.listen("w");
        const polite = await rig.connect({ clientId: "polite", will });
        await polite.end();
        await until(() => rig.broker.client("polite") === undefined);
        const lost = await rig.connect({ clientId: "lost", will });
        await lost.drop();
        await until(() => seen.length > 0);
        expect(seen).toMatchObject([{ origin: { kind: "client", clientId: "lost" } }]);
      }));

    test("a will is published when the keep alive runs out [MQTT-3.1.2-24]", () =>
      withRig({ mqtt: { keepalive_multiplier: 1000 } }, async (rig) => {
        const seen = rig.listen("w");
        const raw = await rig.raw();
        raw.send(frame(0x10, text("MQTT"), [4, 0x0e, 0, 1], text("c"), text("w"), text("gone")));
        await raw.frame();
        await raw.closed();
        await until(() => seen.length > 0);
        expect(rig.broker.client("c")).toBeUndefined();
      }));
  });
}
