import { describe, expect, test } from "vitest";
import { topicFilter } from "../mqtt/index.ts";
import type { WithRig } from "./behaviour.testing.ts";
import { apiMessage, connectFrame, frame, text, until } from "./rig.testing.ts";

/** How messages travel, and what is counted. */
export function messageBehaviour(withRig: WithRig): void {
  describe("delivery", () => {
    test("a message arrives with the lower of its own and the subscription's QoS", () =>
      withRig({}, async (rig) => {
        const publisher = await rig.connect();
        const subscriber = await rig.connect();
        for (const qos of [0, 1, 2] as const) {
          await subscriber.subscribe(`t${qos}`, qos);
          for (const sent of [0, 1, 2] as const) {
            await publisher.publish(`t${qos}`, `${sent} to ${qos}`, { qos: sent });
          }
        }
        await until(() => subscriber.received.length === 9);
        for (const { text: label, qos } of subscriber.received) {
          const [sent = "", , wanted = ""] = label.split(" ");
          expect(qos, label).toBe(Math.min(Number(sent), Number(wanted)));
        }
      }));

    test("a message is delivered once to each subscriber, and not after UNSUBSCRIBE", () =>
      withRig({}, async (rig) => {
        const one = await rig.connect();
        const two = await rig.connect();
        for (const client of [one, two]) await client.subscribe("a/+", 1);
        await rig.publish("a/b", "x", { qos: 1 });
        await until(() => one.received.length > 0 && two.received.length > 0);
        await one.mqtt.unsubscribeAsync("a/+");
        await rig.publish("a/b", "y", { qos: 1 });
        await until(() => two.texts.includes("y"));
        expect(one.texts).toEqual(["x"]);
        expect(two.texts).toEqual(["x", "y"]);
      }));

    test("a QoS 2 PUBLISH repeated before PUBREL is not delivered twice [MQTT-4.3.3-2]", () =>
      withRig({}, async (rig) => {
        const seen = rig.listen("t");
        const raw = await rig.rawConnected("c");
        raw.send(frame(0x34, text("t"), [0, 7], Buffer.from("x")));
        expect([...(await raw.frame())]).toEqual([0x50, 2, 0, 7]);
        raw.send(frame(0x3c, text("t"), [0, 7], Buffer.from("x")));
        expect([...(await raw.frame())]).toEqual([0x50, 2, 0, 7]);
        raw.send([0x62, 2, 0, 7]);
        expect([...(await raw.frame())]).toEqual([0x70, 2, 0, 7]);
        expect(seen).toHaveLength(1);
      }));

    test("packets sent right behind CONNECT are served", () =>
      withRig({}, async (rig) => {
        const seen = rig.listen("#");
        const raw = await rig.raw();
        const publishes = Array.from({ length: 200 }, (_, n) =>
          frame(0x30, text("t"), Buffer.from(`${n}`)),
        );
        raw.send(connectFrame("c"), ...publishes);
        await until(() => seen.length === 200);
        expect(seen.map(({ payload }) => Number(payload.toString()))).toEqual(
          Array.from({ length: 200 }, (_, n) => n),
        );
      }));

    test("retained messages come with SUBSCRIBE, the newest only, until they are deleted", () =>
      withRig({}, async (rig) => {
        const publisher = await rig.connect();
        for (const value of ["old", "new"]) {
          await publisher.publish("r/a", value, { qos: 1, retain: true });
        }
        await publisher.publish("r/b", "gone", { qos: 1, retain: true });
        await publisher.publish("r/b", "", { qos: 1, retain: true });
        await until(() => rig.broker.retainedCount() === 1);
        await rig.restart();
        expect(rig.broker.retainedCount()).toBe(1);
        const subscriber = await rig.connect();
        await subscriber.subscribe("r/#", 1);
        await until(() => subscriber.received.length > 0);
        expect(subscriber.received).toEqual([{ topic: "r/a", text: "new", qos: 1, retain: true }]);
        await rig.publish("r/a", "live", { qos: 1, retain: true });
        await until(() => subscriber.received.length === 2);
        expect(subscriber.received[1]).toMatchObject({ text: "live", retain: false });
      }));

    test("a message larger than the client may get is dropped for that client and counted", () =>
      withRig({ mqtt: { client_max_packet_size_bytes: 1024 } }, async (rig) => {
        const client = await rig.connect();
        await client.subscribe("t", 1);
        await rig.publish("t", "x".repeat(2000), { qos: 1 });
        await rig.publish("t", "small", { qos: 1 });
        await until(() => client.received.length > 0);
        expect(client.texts).toEqual(["small"]);
        expect(rig.broker.counters()).toMatchObject({ sent: 1, dropped: { too_large: 1 } });
      }));
  });

  describe("in-process subscribers", () => {
    test("they see who published", () =>
      withRig({}, async (rig) => {
        const seen = rig.listen("t");
        const client = await rig.connect({ clientId: "c", username: "u", password: "p" });
        await client.publish("t", "from a client", { qos: 1 });
        await rig.publish("t", "from the API");
        await rig.broker.publish({
          ...apiMessage("t", "from a bridge"),
          origin: { kind: "bridge", bridge: "cloud" },
        });
        await until(() => seen.length === 3);
        expect(seen.map(({ origin }) => origin)).toEqual([
          { kind: "client", clientId: "c", username: "u" },
          { kind: "api", clientId: "api" },
          { kind: "bridge", bridge: "cloud" },
        ]);
        expect(seen[0]).toMatchObject({ topic: "t", qos: 1, retain: false });
      }));

    test("properties reach them as they were published", () =>
      withRig({}, async (rig) => {
        const seen = rig.listen("t");
        const properties = { contentType: "text/plain", userProperties: [["a", "b"]] } as const;
        await rig.broker.publish({ ...apiMessage("t", "x"), properties });
        expect(seen).toMatchObject([{ properties }]);
      }));

    test("they get the messages of a client in order, for each QoS [MQTT-4.6.0-5]", () =>
      withRig({}, async (rig) => {
        const keeper = await rig.connect({ clientId: "keeper", clean: false });
        await keeper.subscribe("t/#", 1);
        const seen = rig.listen("t/#");
        const client = await rig.connect();
        const sent = Array.from({ length: 300 }, (_, n) => {
          const qos = ([1, 0, 2] as const)[n % 3] ?? 0;
          return client.mqtt.publishAsync(`t/${n % 7}`, `${n}`, { qos });
        });
        await Promise.all(sent);
        await until(() => seen.length === 300);
        for (const qos of [0, 1, 2]) {
          const numbers = seen
            .filter((message) => message.qos === qos)
            .map(({ payload }) => Number(payload.toString()));
          expect(numbers).toEqual(numbers.toSorted((left, right) => left - right));
        }
      }));

    test("a promise of theirs delays the publisher's, and a rejection reaches it", () =>
      withRig({}, async (rig) => {
        const { promise: gate, resolve: open } = Promise.withResolvers<void>();
        rig.broker.subscribe(topicFilter("slow"), () => gate);
        rig.broker.subscribe(topicFilter("bad"), () => Promise.reject(new Error("disk full")));
        let isDone = false;
        const published = rig.publish("slow", "x", { qos: 1 }).then(() => {
          isDone = true;
        });
        await rig.publish("slow", "QoS 0 does not wait");
        expect(isDone).toBe(false);
        open();
        await published;
        await expect(rig.publish("bad", "x", { qos: 1 })).rejects.toThrow("disk full");
        await rig.publish("bad", "x", { qos: 0 });
      }));

    test("a promise of theirs delays PUBREC", () =>
      withRig({}, async (rig) => {
        const { promise: gate, resolve: open } = Promise.withResolvers<void>();
        rig.broker.subscribe(topicFilter("slow"), () => gate);
        const client = await rig.connect();
        let isDone = false;
        const published = client.publish("slow", "x", { qos: 2 }).then(() => {
          isDone = true;
        });
        // Its own later messages wait behind it ([MQTT-4.6.0-3]); others do not.
        await (await rig.connect()).publish("other", "x", { qos: 2 });
        expect(isDone).toBe(false);
        open();
        await published;
      }));

    test("one that throws disturbs neither the others nor the publisher", () =>
      withRig({}, async (rig) => {
        rig.broker.subscribe(topicFilter("#"), () => {
          throw new Error("defect");
        });
        const seen = rig.listen("#");
        await (await rig.connect()).publish("t", "x", { qos: 1 });
        await until(() => seen.length === 1);
      }));

    test("they get nothing after they unsubscribed, and # keeps $SYS from them", () =>
      withRig({}, async (rig) => {
        const seen: string[] = [];
        const stop = rig.broker.subscribe(topicFilter("#"), ({ topic }) => void seen.push(topic));
        await rig.connect();
        await rig.publish("a", "x");
        stop();
        stop();
        await rig.publish("b", "x");
        expect(seen).toEqual(["a"]);
      }));
  });

  describe("counters", () => {
    test("received counts accepted PUBLISHes, sent counts copies, $SYS counts nothing", () =>
      withRig({}, async (rig) => {
        const one = await rig.connect({ clientId: "one" });
        const two = await rig.connect({ clientId: "two" });
        for (const client of [one, two]) {
          await client.subscribe("t", 1);
          await client.subscribe("$SYS/#");
        }
        await one.publish("t", "a", { qos: 1 });
        await rig.publish("t", "b");
        await rig.broker.publish({ ...apiMessage("$SYS/x", "x"), origin: { kind: "system" } });
        await until(() => two.texts.includes("x"));
        await until(() => one.received.filter(({ topic }) => topic === "t").length === 2);
        expect(rig.broker.counters()).toEqual({
          received: 2,
          sent: 4,
          dropped: { no_subscriber: 0, queue_full: 0, expired: 0, too_large: 0, rejected: 0 },
        });
        expect(rig.broker.client("one")).toMatchObject({ messagesIn: 1, messagesOut: 2 });
        expect(rig.broker.client("two")).toMatchObject({ messagesIn: 0, messagesOut: 2 });
      }));

    test("a message nobody wants is counted as dropped", () =>
      withRig({}, async (rig) => {
        await rig.publish("t", "x");
        await rig.publish("t", "x", { qos: 1 });
        expect(rig.broker.counters().dropped.no_subscriber).toBe(2);
        const client = await rig.connect({ clientId: "c", clean: false });
        await client.subscribe("t", 1);
        await client.end();
        await until(() => rig.broker.client("c")?.isConnected === false);
        await rig.publish("t", "queued", { qos: 1 });
        rig.listen("u");
        await rig.publish("u", "heard in process");
        expect(rig.broker.counters().dropped.no_subscriber).toBe(2);
      }));
  });

  describe("client status", () => {
    test("connect and disconnect are announced on $SYS, old and new way", () =>
      withRig({}, async (rig) => {
        const seen = rig.listen("$SYS/brokers/#");
        const client = await rig.connect({ clientId: 'say "hi"', keepalive: 9 });
        await client.end();
        await until(() => seen.length === 4);
        expect(seen.map(({ topic }) => topic).toSorted()).toEqual([
          '$SYS/brokers/client_status/say "hi"',
          '$SYS/brokers/client_status/say "hi"',
          "$SYS/brokers/connected",
          "$SYS/brokers/disconnected",
        ]);
        const bodies = seen.map(({ payload }): unknown => JSON.parse(payload.toString()));
        expect(bodies).toContainEqual({
          status: "online",
          username: "",
          ts: expect.any(Number),
          proto_name: "MQTT",
          keepalive: 9,
          return_code: "0",
          proto_ver: 4,
          client_id: 'say "hi"',
          clean_start: 1,
          IPv4: "127.0.0.1",
        });
        expect(bodies).toContainEqual({
          status: "offline",
          username: "",
          ts: expect.any(Number),
          reason_code: "0",
          client_id: 'say "hi"',
          IPv4: "127.0.0.1",
        });
        expect(seen).toMatchObject(seen.map(() => ({ qos: 0, retain: false })));
      }));

    test("a client id adds no levels and is no wildcard", () =>
      withRig({}, async (rig) => {
        const seen = rig.listen("$SYS/brokers/client_status/+");
        const ids = ["a/b", "+", "#", "50%", "tab\there", "ü"];
        for (const clientId of ids) await rig.connect({ clientId });
        await until(() => seen.length === ids.length);
        expect(seen.map(({ topic }) => topic.split("/").at(-1))).toEqual([
          "a%2Fb",
          "%2B",
          "%23",
          "50%25",
          "tab%09here",
          "ü",
        ]);
      }));

    test("a refused CONNECT is told with its code, and does not speak for its client id", () =>
      withRig({}, async (rig) => {
        const status = rig.listen("$SYS/brokers/client_status/#");
        const connected = rig.listen("$SYS/brokers/connected");
        rig.verdict = "not_authorized";
        await rig.returnCodeOf({ clientId: "c" });
        await until(() => connected.length > 0);
        expect(JSON.parse(connected[0]?.payload.toString() ?? "")).toMatchObject({
          client_id: "c",
          return_code: "5",
        });
        expect(status).toEqual([]);
      }));
  });
}
