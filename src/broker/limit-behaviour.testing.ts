import { describe, expect, test } from "vitest";
import type { WithRig } from "./behaviour.testing.ts";
import { connectFrame, frame, type Rig, text, until } from "./rig.testing.ts";

/** Limits, and what hostile clients achieve: the end of their own connection. */
export function limitBehaviour(withRig: WithRig): void {
  describe("limits", () => {
    test("a connection without CONNECT is closed after the time for it", () =>
      withRig({ mqtt: { connect_timeout_s: 1 } }, async (rig) => {
        const silent = await rig.raw();
        const slow = await rig.raw();
        slow.send(connectFrame("slow").subarray(0, 5));
        await silent.closed();
        await slow.closed();
      }));

    test("a packet over the limit ends the connection as soon as its length is known", () =>
      withRig({ mqtt: { max_packet_size_bytes: 1024 } }, async (rig) => {
        for (const length of [
          [0xff, 0x07],
          [0xff, 0xff, 0xff, 0x7f],
        ]) {
          const raw = await rig.rawConnected("c");
          raw.send([0x30, ...length]);
          await raw.closed();
          const early = await rig.raw();
          early.send([0x10, ...length]);
          await early.closed();
        }
        const raw = await rig.rawConnected("c");
        const seen = rig.listen("t");
        raw.send(frame(0x30, text("t"), Buffer.alloc(1024 - 3 - 3)));
        await until(() => seen.length === 1);
        rig.broker.reconfigure({ maxPacketSizeBytes: 2048 });
        raw.send(frame(0x30, text("t"), Buffer.alloc(2000)));
        await until(() => seen.length === 2);
      }));

    test("a remaining length of five bytes ends the connection", () =>
      withRig({}, async (rig) => {
        const raw = await rig.rawConnected("c");
        raw.send([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]);
        await raw.closed();
      }));

    test("a topic with too many levels ends its publisher, a filter is refused", () =>
      withRig({ mqtt: { max_topic_levels: 3 } }, async (rig) => {
        const seen = rig.listen("#");
        const client = await rig.connect();
        expect(await client.subscribe("a/b/c", 1)).toBe(1);
        expect(await client.subscribe("a/b/c/#", 1)).toBe(128);
        await client.publish("a/b/c", "x", { qos: 1 });
        client.mqtt.publish("a/b/c/d", "x");
        await client.closed();
        expect(seen).toHaveLength(1);
        await expect(rig.publish("a/b/c/d", "x")).rejects.toMatchObject({
          code: "MQTT_TOPIC_INVALID",
        });
      }));

    test("filters over the limit of one SUBSCRIBE are refused", () =>
      withRig({ mqtt: { max_filters_per_subscribe: 2 } }, async (rig) => {
        const raw = await rig.rawConnected("c");
        raw.send(frame(0x82, [0, 1], text("a"), [0], text("b"), [1], text("c"), [2]));
        expect([...(await raw.frame())]).toEqual([0x90, 5, 0, 1, 0, 1, 0x80]);
      }));

    test("subscriptions over the limit of a client are refused, until it has fewer", () =>
      withRig({ mqtt: { max_subscriptions_per_client: 2 } }, async (rig) => {
        const client = await rig.connect();
        expect(await client.subscribe("a", 1)).toBe(1);
        expect(await client.subscribe("b", 1)).toBe(1);
        expect(await client.subscribe("c", 1)).toBe(128);
        expect(await client.subscribe("a", 2)).toBe(2);
        await client.mqtt.unsubscribeAsync("b");
        expect(await client.subscribe("c", 1)).toBe(1);
      }));

    test("QoS 2 messages that wait for PUBREL are bounded per client", () =>
      withRig({ mqtt: { max_awaiting_rel: 3 } }, async (rig) => {
        const seen = rig.listen("#");
        const raw = await rig.rawConnected("c");
        for (let id = 1; id <= 10; id++) raw.send(frame(0x34, text("t"), [0, id]));
        await raw.closed();
        expect(seen.length).toBeLessThanOrEqual(3);
      }));

    test("a client that is silent for its keep alive times the multiplier is closed", () =>
      withRig({ mqtt: { keepalive_multiplier: 1000 } }, async (rig) => {
        const startMs = performance.now();
        const raw = await rig.rawConnected("c", { keepAliveS: 1 });
        await raw.closed();
        const elapsedMs = performance.now() - startMs;
        expect(elapsedMs).toBeGreaterThan(900);
        expect(elapsedMs).toBeLessThan(1450);
      }));
  });

  describe("hostile clients", () => {
    const nul = Buffer.from("a\0b");
    const malformed: Record<string, readonly Buffer[]> = {
      "a PUBLISH before CONNECT": [frame(0x30, text("t"))],
      "bytes of another protocol": [Buffer.from("GET / HTTP/1.1\r\n\r\n")],
      "a protocol name that is not MQTT": [frame(0x10, text("MQTX"), [4, 2, 0, 0], text("x"))],
      "a reserved CONNECT flag": [frame(0x10, text("MQTT"), [4, 3, 0, 0], text("x"))],
      "a client id with U+0000": [frame(0x10, text("MQTT"), [4, 2, 0, 0], text(nul))],
      "a will topic with a wildcard": [
        frame(0x10, text("MQTT"), [4, 6, 0, 0], text("x"), text("w/#"), text("")),
      ],
      "a will with QoS 3": [
        frame(0x10, text("MQTT"), [4, 0x1e, 0, 0], text("x"), text("w"), text("")),
      ],
      "a password without a user name": [
        frame(0x10, text("MQTT"), [4, 0x42, 0, 0], text("x"), text("secret")),
      ],
      "a second CONNECT": [connectFrame("x"), connectFrame("x")],
      "a CONNACK": [connectFrame("x"), Buffer.from([0x20, 2, 0, 0])],
      "packet type 0": [connectFrame("x"), Buffer.from([0, 0])],
      "a PUBLISH with QoS 3": [connectFrame("x"), frame(0x36, text("t"), [0, 1])],
      "a PUBLISH with packet identifier 0": [connectFrame("x"), frame(0x32, text("t"), [0, 0])],
      "a PUBLISH with an empty topic": [connectFrame("x"), frame(0x30, text(""))],
      "a PUBLISH to a wildcard": [connectFrame("x"), frame(0x30, text("a/+"))],
      "a PUBLISH to a topic with U+0000": [connectFrame("x"), frame(0x30, text(nul))],
      "a PUBLISH shorter than its topic": [connectFrame("x"), frame(0x30, [0, 50, 1])],
      "a topic of 65,400 slashes": [connectFrame("x"), frame(0x30, text("/".repeat(65_400)))],
      "a filter of 65,400 slashes": [
        connectFrame("x"),
        frame(0x82, [0, 1], text("/".repeat(65_400)), [0]),
      ],
      "a SUBSCRIBE without filters": [connectFrame("x"), frame(0x82, [0, 1])],
      "a SUBSCRIBE with packet identifier 0": [
        connectFrame("x"),
        frame(0x82, [0, 0], text("t"), [0]),
      ],
      "a SUBSCRIBE with QoS 3": [connectFrame("x"), frame(0x82, [0, 1], text("t"), [3])],
      "a SUBSCRIBE with wrong flags": [connectFrame("x"), frame(0x80, [0, 1], text("t"), [0])],
      "a SUBSCRIBE with a broken filter": [connectFrame("x"), frame(0x82, [0, 1], text("a#"), [0])],
      "a SUBSCRIBE cut in its filter": [connectFrame("x"), frame(0x82, [0, 1], [0, 9, 65])],
      "an UNSUBSCRIBE without filters": [connectFrame("x"), frame(0xa2, [0, 1])],
    };

    async function isServing(rig: Rig): Promise<void> {
      const client = await rig.connect();
      await client.subscribe("alive", 1);
      await client.publish("alive", "yes", { qos: 1 });
      await until(() => client.texts.includes("yes"));
      await client.end();
    }

    test("each malformed packet ends its own connection and nothing else", () =>
      withRig({}, async (rig) => {
        const witness = await rig.connect({ clientId: "witness" });
        await witness.subscribe("alive", 1);
        for (const [what, bytes] of Object.entries(malformed)) {
          const raw = await rig.raw();
          raw.send(...bytes);
          await raw.closed().catch(() => expect.fail(`${what} is answered by closing`));
        }
        for (const [what, bytes] of Object.entries(malformed)) {
          const raw = await rig.raw();
          raw.socket.setNoDelay(true);
          for (const byte of Buffer.concat(bytes).subarray(0, 200)) raw.send([byte]);
          raw.send(Buffer.concat(bytes).subarray(200));
          await raw.closed().catch(() => expect.fail(`${what}, in pieces, is answered by closing`));
        }
        await isServing(rig);
        await until(() => witness.texts.includes("yes"));
        expect(witness.mqtt.connected).toBe(true);
        expect([...rig.broker.clients()].map(({ clientId }) => clientId)).toEqual(["witness"]);
      }));

    test(
      "thousands of mutated packets leave the broker serving",
      () =>
        withRig({}, async (rig) => {
          const random = seeded(20260101);
          const seeds = Object.values(malformed).map((parts) => Buffer.concat(parts));
          seeds.push(
            Buffer.concat([
              connectFrame("m", { clean: false }),
              frame(0x82, [0, 1], text("m/#"), [2]),
              frame(0x34, text("m/x"), [0, 2], Buffer.from("payload")),
              Buffer.from([0x62, 2, 0, 2, 0xc0, 0]),
            ]),
          );
          for (let round = 0; round < 60; round++) {
            await Promise.all(
              Array.from({ length: 40 }, async () => {
                const bytes = Buffer.from(seeds[Math.floor(random() * seeds.length)] ?? "");
                for (let n = 0; n < 3; n++) {
                  const at = Math.floor(random() * Math.min(bytes.length, 300));
                  bytes[at] = Math.floor(random() * 256);
                }
                const raw = await rig.raw();
                raw.send(bytes);
                raw.socket.end();
                raw.socket.resume();
                await raw.closed();
              }),
            );
          }
          await isServing(rig);
        }),
      60_000,
    );

    test("prototype names are ordinary client ids, user names, topics and filters", () =>
      withRig({}, async (rig) => {
        for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
          const seen = rig.listen(name);
          const login = { clientId: name, username: name, password: name, clean: false } as const;
          const will = { topic: name, payload: Buffer.from("gone"), qos: 1, retain: true } as const;
          const client = await rig.connect({ ...login, will });
          expect(rig.broker.client(name)).toMatchObject({ clientId: name, username: name });
          expect(await client.subscribe(name, 1)).toBe(1);
          await client.publish(name, "hello", { qos: 1, retain: true });
          await until(() => client.texts.includes("hello"));
          await client.drop();
          await until(() => seen.length === 2);
          await rig.publish(name, "queued", { qos: 1 });
        }
        await rig.restart();
        for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
          const client = await rig.connect({ clientId: name, clean: false });
          await until(() => client.texts.includes("queued"));
          await client.mqtt.unsubscribeAsync(name);
        }
        expect([...rig.broker.subscriptions()]).toEqual([]);
      }));

    test("client ids and topics up to 65,535 bytes are served", () =>
      withRig({}, async (rig) => {
        const seen = rig.listen("$SYS/brokers/client_status/+");
        const clientId = "ü".repeat(32_767);
        const client = await rig.connect({ clientId, clean: false });
        const topic = "t".repeat(65_535);
        expect(await client.subscribe(topic, 1)).toBe(1);
        await client.publish(topic, "x", { qos: 1 });
        await until(() => client.texts.includes("x"));
        expect(seen.map(({ topic: name }) => name.split("/").at(-1))).toEqual([
          expect.stringMatching(/^sha256-[0-9a-f]{64}$/),
        ]);
        await rig.restart();
        expect([...rig.broker.subscriptions()]).toMatchObject([{ clientId, filter: topic }]);
      }));
  });
}

/** A small generator of numbers in [0, 1), the same for a seed. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
