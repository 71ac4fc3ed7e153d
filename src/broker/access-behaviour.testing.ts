import { describe, expect, test } from "vitest";
import type { WithRig } from "./behaviour.testing.ts";
import { connectFrame, frame, text, until } from "./rig.testing.ts";

/** Who may connect, publish and subscribe. */
export function accessBehaviour(withRig: WithRig): void {
  describe("CONNECT", () => {
    test("the verdict becomes the return code [MQTT-3.2.2-4]", () =>
      withRig({}, async (rig) => {
        expect(await rig.returnCodeOf({})).toBe(0);
        rig.verdict = "bad_credentials";
        expect(await rig.returnCodeOf({})).toBe(4);
        rig.verdict = "not_authorized";
        expect(await rig.returnCodeOf({})).toBe(5);
      }));

    test("a failing authenticator refuses with server unavailable", () =>
      withRig({ authenticate: () => Promise.reject(new Error("down")) }, async (rig) => {
        expect(await rig.returnCodeOf({})).toBe(3);
      }));

    test("the authenticator gets what the client sent, null for what it did not", async () => {
      const requests: object[] = [];
      const authenticate = async (request: object) => {
        requests.push(request);
        return "accepted" as const;
      };
      await withRig({ authenticate }, async (rig) => {
        await rig.connect({ clientId: "a", username: "u", password: "p" });
        await rig.connect({ clientId: "b" });
        const peer = expect.objectContaining({ listener: "tcp", address: "127.0.0.1" });
        expect(requests).toEqual([
          { clientId: "a", username: "u", password: Buffer.from("p"), peer },
          { clientId: "b", username: null, password: null, peer },
        ]);
      });
    });

    test("an empty client id is replaced with Clean Session, refused without [MQTT-3.1.3-8]", () =>
      withRig({}, async (rig) => {
        const accepted = await rig.raw();
        accepted.send(connectFrame("", { clean: true }));
        expect([...(await accepted.frame())]).toEqual([0x20, 2, 0, 0]);
        expect([...rig.broker.clients()].map(({ clientId }) => clientId.length > 0)).toEqual([
          true,
        ]);
        const refused = await rig.raw();
        refused.send(connectFrame("", { clean: false }));
        expect([...(await refused.frame())]).toEqual([0x20, 2, 0, 2]);
        await refused.closed();
      }));

    test("a refused CONNECT leaves the session and connection of its client id alone", () =>
      withRig({}, async (rig) => {
        const owner = await rig.connect({ clientId: "c", clean: false });
        await owner.subscribe("t", 1);
        rig.verdict = "bad_credentials";
        expect(await rig.returnCodeOf({ clientId: "c", clean: true })).toBe(4);
        await rig.publish("t", "still here", { qos: 1 });
        await until(() => owner.texts.includes("still here"));
        expect(rig.broker.client("c")).toMatchObject({ isConnected: true });
        await rig.restart();
        expect([...rig.broker.subscriptions()]).toMatchObject([
          { clientId: "c", filter: "t", qos: 1 },
        ]);
      }));
  });

  describe("$SYS", () => {
    test("# and + do not match topics that start with $ [MQTT-4.7.2-1]", () =>
      withRig({}, async (rig) => {
        const client = await rig.connect();
        await client.subscribe("#");
        await client.subscribe("+/secret");
        await client.subscribe("$SYS/secret");
        await rig.publish("$SYS/secret", "named");
        await rig.publish("$other/secret", "not named");
        await rig.publish("x/secret", "last");
        await until(() => client.texts.includes("last"));
        expect(new Set(client.texts)).toEqual(new Set(["named", "last"]));
      }));

    test("a client's PUBLISH to $SYS is acknowledged and dropped", () =>
      withRig({}, async (rig) => {
        const seen = rig.listen("$SYS/fake/#");
        const client = await rig.connect();
        for (const qos of [0, 1, 2] as const)
          await client.publish("$SYS/fake/x", "forged", { qos });
        await until(() => rig.broker.counters().dropped.rejected === 3);
        expect(seen).toEqual([]);
      }));
  });

  describe("access rules", () => {
    const isAllowed = ({ topic }: { topic: string }) => !topic.startsWith("secret");

    test("a denied filter of a SUBSCRIBE is answered 0x80, the others are granted", () =>
      withRig({ isAllowed }, async (rig) => {
        const raw = await rig.rawConnected("c");
        raw.send(frame(0x82, [0, 1], text("open"), [1], text("secret/#"), [1], text("also"), [2]));
        expect([...(await raw.frame())]).toEqual([0x90, 5, 0, 1, 1, 0x80, 2]);
        expect([...rig.broker.subscriptions()].map(({ filter }) => filter)).toEqual([
          "open",
          "also",
        ]);
      }));

    test("a denied filter beside a granted one queues nothing for a session left behind", () =>
      withRig({ isAllowed }, async (rig) => {
        const raw = await rig.rawConnected("c", { clean: false });
        raw.send(frame(0x82, [0, 1], text("open"), [1], text("secret/#"), [1]));
        await raw.frame();
        raw.socket.destroy();
        await until(() => rig.broker.client("c")?.isConnected === false);
        await rig.publish("secret/x", "secret", { qos: 1 });
        await rig.publish("open", "open", { qos: 1 });
        await rig.restart();
        const client = await rig.connect({ clientId: "c", clean: false });
        await until(() => client.texts.length > 0);
        expect(client.texts).toEqual(["open"]);
      }));

    test("a right withdrawn while a client was away ends its stored subscription", () =>
      withRig({}, async (rig) => {
        const before = await rig.connect({ clientId: "c", clean: false });
        await before.subscribe("secret/x", 1);
        await before.subscribe("open", 1);
        await before.end();
        await until(() => rig.broker.client("c")?.isConnected === false);
        rig.isAllowed = isAllowed;
        const after = await rig.connect({ clientId: "c", clean: false });
        await rig.publish("secret/x", "secret", { qos: 1 });
        await rig.publish("open", "open", { qos: 1 });
        await until(() => after.texts.includes("open"));
        expect(after.texts).toEqual(["open"]);
        expect([...rig.broker.subscriptions()].map(({ filter }) => filter)).toEqual(["open"]);
      }));

    test("a denied PUBLISH is acknowledged and dropped with deny_action ignore", () =>
      withRig({ isAllowed }, async (rig) => {
        const seen = rig.listen("#");
        const client = await rig.connect();
        for (const qos of [0, 1, 2] as const) await client.publish("secret", "no", { qos });
        await client.publish("open", "yes", { qos: 1 });
        await until(() => seen.length > 0);
        expect(seen.map(({ payload }) => payload.toString())).toEqual(["yes"]);
        expect(rig.broker.counters()).toMatchObject({ received: 1, dropped: { rejected: 3 } });
      }));

    test("a denied PUBLISH ends the connection with deny_action disconnect", () =>
      withRig({ isAllowed, denyAction: "disconnect" }, async (rig) => {
        const seen = rig.listen("#");
        const client = await rig.connect();
        client.mqtt.publish("secret", "no");
        await client.closed();
        expect(seen).toEqual([]);
      }));

    test("a denied PUBLISH with retain is not retained", () =>
      withRig({ isAllowed }, async (rig) => {
        const client = await rig.connect();
        await client.publish("secret", "no", { qos: 1, retain: true });
        await client.publish("open", "yes", { qos: 2, retain: true });
        expect(rig.broker.retainedCount()).toBe(1);
      }));

    test("a will is published only where its client may publish", () =>
      withRig({ isAllowed }, async (rig) => {
        const seen = rig.listen("#");
        for (const name of ["secret", "$SYS/x", "open"]) {
          const will = { topic: name, payload: name, qos: 1, retain: true } as const;
          const client = await rig.connect({ clientId: name, will });
          await client.drop();
          await until(() => rig.broker.client(name) === undefined);
        }
        await until(() => seen.length > 0);
        expect(seen.map(({ topic }) => topic)).toEqual(["open"]);
        expect(rig.broker.retainedCount()).toBe(1);
      }));

    test("the authorizer is told who asks", async () => {
      const requests: object[] = [];
      const remember = (request: object) => requests.push(request) > 0;
      await withRig({ isAllowed: remember }, async (rig) => {
        const client = await rig.connect({ clientId: "c", username: "u", password: "p" });
        await client.subscribe("a/+", 1);
        await client.publish("a/b", "x", { qos: 1 });
        const who = { clientId: "c", username: "u", address: "127.0.0.1", isSuperuser: false };
        expect(requests).toEqual([
          { ...who, action: "subscribe", topic: "a/+", qos: 1, retain: false },
          { ...who, action: "publish", topic: "a/b", qos: 1, retain: false },
        ]);
      });
    });

    test("what was decided for a topic holds for the same QoS and Retain, until the revision changes", async () => {
      const asked: string[] = [];
      const allowed = new Set(["0 false", "1 true"]);
      const isAllowed = (request: { topic: string; qos: number; retain: boolean }) => {
        if (request.topic !== "t") return true;
        const kind = `${request.qos} ${request.retain}`;
        asked.push(kind);
        return allowed.has(kind);
      };
      await withRig({ isAllowed, revision: () => allowed.size }, async (rig) => {
        const seen = rig.listen("t");
        const client = await rig.connect({ clientId: "c" });
        const publish = async (...kinds: readonly (readonly [0 | 1, boolean])[]) => {
          for (const [qos, retain] of kinds) await client.publish("t", "x", { qos, retain });
        };
        await publish([0, false], [0, false], [1, false], [1, true], [1, true]);
        expect(asked).toEqual(["0 false", "1 false", "1 true"]);
        expect(seen).toHaveLength(4);
        allowed.delete("1 true");
        await publish([1, true]);
        expect(seen).toHaveLength(4);
      });
    });

    test("a superuser is named to the authorizer in everything it does, and only while it is one", async () => {
      const asked: object[] = [];
      const isAllowed = (request: { isSuperuser: boolean; topic: string }) => {
        asked.push([request.topic, request.isSuperuser]);
        return true;
      };
      await withRig({ isAllowed }, async (rig) => {
        rig.verdict = "accepted_superuser";
        const will = { topic: "will", payload: "", qos: 0, retain: false } as const;
        const boss = await rig.connect({ clientId: "c", will });
        await boss.subscribe("s", 1);
        await boss.publish("p", "x", { qos: 1 });
        await boss.drop();
        await until(() => asked.length === 3);
        rig.verdict = "accepted";
        const other = await rig.connect({ clientId: "c" });
        await other.publish("p", "x", { qos: 1 });
        expect(asked).toEqual([
          ["s", true],
          ["p", true],
          ["will", true],
          ["p", false],
        ]);
      });
    });
  });
}
