import { execFile } from "node:child_process";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { IPublishPacket } from "mqtt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { topic } from "../mqtt/index.ts";
import { CloudClient, eventually, forward, subscription, TestBridge } from "./bridge.testing.ts";
import { Mosquitto, temporaryDirectory } from "./mosquitto.testing.ts";

let cloud: Mosquitto;

beforeAll(async () => {
  cloud = await Mosquitto.start(["allow_anonymous true", "max_queued_messages 0"]);
});

afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

function server(): string {
  return `mqtt://127.0.0.1:${cloud.tcpPort}`;
}

/** Publishes at the cloud until the bridge has it: its SUBSCRIBE is on its way after the connect. */
async function subscribed(test: TestBridge, there: CloudClient, name: string): Promise<void> {
  await eventually(async () => {
    await there.client.publishAsync(name, "probe", { qos: 1 });
    if (test.status().received === 0) throw new Error("not subscribed yet");
  });
  test.bus.published.length = 0;
}

describe.each([3, 4, 5] as const)("bridge to mosquitto at protocol level %i", (version) => {
  it("forwards every QoS up and publishes here what comes down", async () => {
    await using there = await CloudClient.connect(cloud.tcpPort);
    await there.client.subscribeAsync(`up${version}/#`, { qos: 2 });
    await using test = await TestBridge.start({
      server: server(),
      proto_ver: version,
      clean_start: true,
      forwards: [forward("tele/#", "", { prefix: `up${version}/` })],
      subscription: [subscription(`down${version}/+/set`, "+/set", { qos: 2 })],
    });
    await test.connected();
    for (const qos of [0, 1, 2] as const) await test.bus.send("tele/a", `q${qos}`, { qos });
    await eventually(() => {
      expect(there.got).toEqual([0, 1, 2].map((qos) => `up${version}/tele/a q${qos}`));
    });
    await eventually(() => expect(test.status()).toMatchObject({ forwarded: 3, depthMessages: 0 }));

    await subscribed(test, there, `down${version}/probe/set`);
    for (const qos of [0, 1, 2] as const) {
      await there.client.publishAsync(`down${version}/lamp/set`, `q${qos}`, { qos });
    }
    await eventually(() => {
      const messages = test.bus.fromBridge().filter((it) => !it.endsWith("probe"));
      expect(messages).toEqual(["lamp/set q0", "lamp/set q1", "lamp/set q2"]);
    });
    const last = test.bus.published.findLast((message) => message.origin.kind === "bridge");
    expect(last).toMatchObject({ qos: 2, origin: { kind: "bridge", bridge: "cloud" } });
  });

  it("the link's own messages do not come back, and what came down does not go up", async () => {
    await using there = await CloudClient.connect(cloud.tcpPort);
    await there.client.subscribeAsync(`both${version}/#`);
    const both = `both${version}/#`;
    await using test = await TestBridge.start({
      server: server(),
      proto_ver: version,
      clean_start: true,
      forwards: [forward(both)],
      subscription: [subscription(both)],
    });
    await subscribed(test, there, `both${version}/probe`);
    there.got.length = 0;
    await test.bus.send(`both${version}/a`, "mine");
    await eventually(() => expect(there.got).toEqual([`both${version}/a mine`]));
    await there.client.publishAsync(`both${version}/a`, "yours");
    await eventually(() => {
      expect(test.bus.fromBridge().at(-1)).toBe(`both${version}/a yours`);
    });
    await test.bus.send(`both${version}/a`, "last");
    await eventually(() => expect(there.got.at(-1)).toBe(`both${version}/a last`));
    expect(there.got).toHaveLength(3);
    expect(test.bus.fromBridge().filter((it) => !it.endsWith("probe"))).toHaveLength(1);
    expect(test.status().forwarded).toBe(2);
  });
});

describe("bridge to mosquitto", () => {
  it("MQTT 5.0 properties are carried both ways", async () => {
    await using there = await CloudClient.connect(cloud.tcpPort, { protocolVersion: 5 });
    const arrived: IPublishPacket[] = [];
    there.client.on("message", (_, __, packet) => arrived.push(packet));
    await there.client.subscribeAsync("p5up/#", { qos: 1 });
    await using test = await TestBridge.start({
      server: server(),
      proto_ver: 5,
      forwards: [forward("t", "p5up/t")],
      subscription: [subscription("p5down/#", "")],
    });
    await subscribed(test, there, "p5down/probe");
    const properties = {
      payloadFormatIndicator: true,
      messageExpiryInterval: 100,
      contentType: "text/plain",
      responseTopic: "answer/here",
      correlationData: Buffer.from("c1"),
      userProperties: [
        ["b", "1"],
        ["a", "2"],
        ["b", "3"],
      ],
    } as const;
    await test.bus.publish({
      topic: topic("t"),
      payload: Buffer.from("x"),
      qos: 1,
      retain: false,
      properties,
      origin: { kind: "system" },
    });
    await eventually(() => expect(arrived).toHaveLength(1));
    expect(arrived[0]?.properties).toMatchObject({
      ...properties,
      userProperties: { b: ["1", "3"], a: "2" },
    });

    await there.client.publishAsync("p5down/x", "y", {
      qos: 1,
      properties: {
        contentType: "a/b",
        messageExpiryInterval: 50,
        userProperties: { k: ["1", "2"], l: "3" },
      },
    });
    const expected = {
      contentType: "a/b",
      messageExpiryInterval: 50,
      userProperties: [
        ["k", "1"],
        ["k", "2"],
        ["l", "3"],
      ],
    };
    await eventually(() => {
      const message = test.bus.published.find((it) => it.topic === "p5down/x");
      expect(message?.properties).toEqual(expected);
    });
  });

  it("QoS and retain overrides hold in both directions, and flags pass as they are without", async () => {
    await using there = await CloudClient.connect(cloud.tcpPort);
    await there.client.publishAsync("rd/kept", "1", { qos: 1, retain: true });
    await there.client.publishAsync("rd/plain", "2", { qos: 1, retain: true });
    await using test = await TestBridge.start({
      server: server(),
      forwards: [
        forward("a", "ru/a", { retain: true, qos: 1 }),
        forward("b", "ru/b", { retain: false }),
        forward("c", "ru/c"),
      ],
      subscription: [
        subscription("rd/plain", "", { retain: false, qos: 0 }),
        subscription("rd/#", "", { qos: 1 }),
      ],
    });
    await eventually(() => expect(test.bus.fromBridge()).toHaveLength(2));
    expect(test.bus.published.filter((it) => it.origin.kind === "bridge")).toMatchObject([
      { topic: "rd/kept", qos: 1, retain: true },
      { topic: "rd/plain", qos: 0, retain: false },
    ]);
    await test.bus.send("a", "1", { qos: 0 });
    await test.bus.send("b", "2", { retain: true });
    await test.bus.send("c", "3", { retain: true });
    await eventually(() => expect(test.status()).toMatchObject({ forwarded: 3, depthMessages: 0 }));
    await there.client.subscribeAsync("ru/#");
    await eventually(() => expect(there.got).toEqual(["ru/a 1 retained", "ru/c 3 retained"]));
  });

  it("filters that cover each other bring one copy, under the first rule that matches", async () => {
    await using there = await CloudClient.connect(cloud.tcpPort);
    await using test = await TestBridge.start({
      server: server(),
      subscription: [
        subscription("ov/a/b", "first"),
        subscription("ov/+/b", "second"),
        subscription("ov/#", "third"),
      ],
    });
    await subscribed(test, there, "ov/x/y");
    for (const name of ["ov/a/b", "ov/c/b", "ov/c/d"]) {
      await there.client.publishAsync(name, name, { qos: 1 });
    }
    await eventually(() => {
      const got = test.bus.fromBridge().filter((it) => !it.endsWith("probe"));
      expect(got).toEqual(["first ov/a/b", "second ov/c/b", "third ov/c/d"]);
    });
  });

  it.each([4, 5] as const)(
    "filters that overlap without covering bring one copy, at protocol level %i",
    async (version) => {
      await using there = await CloudClient.connect(cloud.tcpPort);
      const root = `cross${version}`;
      await using test = await TestBridge.start({
        server: server(),
        proto_ver: version,
        subscription: [subscription(`${root}/+/b`, "left/b"), subscription(`${root}/a/+`, "right")],
      });
      await subscribed(test, there, `${root}/a/probe`);
      for (const text of ["1", "2"]) {
        await there.client.publishAsync(`${root}/a/b`, text, { qos: 1 });
      }
      await there.client.publishAsync(`${root}/a/c`, "end", { qos: 1 });
      await eventually(() => expect(test.bus.fromBridge().at(-1)).toBe("right end"));
      const got = test.bus.fromBridge().filter((it) => !it.endsWith("probe"));
      expect(got).toEqual(["left/b 1", "left/b 2", "right end"]);
    },
  );

  it("link up and loss are published here, retained, with the link's client id", async () => {
    await using test = await TestBridge.start({ server: server(), username: "u" });
    await test.connected();
    await test.bridge.stop();
    const events = test.bus.published.map((message) => ({
      topic: message.topic,
      flags: [message.qos, message.retain, message.origin.kind],
      ...JSON.parse(message.payload.toString()),
    }));
    const flags = [0, true, "system"];
    const who = { username: "u", client_id: "tidegate-d1-cloud", ts: expect.any(Number), flags };
    const connect = { proto_name: "MQTT", proto_ver: 4, keepalive: 60, clean_start: 0 };
    const status = "$SYS/brokers/client_status/tidegate-d1-cloud";
    expect(events).toEqual([
      { topic: status, status: "online", return_code: "0", ...connect, ...who },
      { topic: "$SYS/brokers/connected", return_code: "0", ...connect, ...who },
      { topic: status, status: "offline", reason_code: "8b", ...who },
      { topic: "$SYS/brokers/disconnected", reason_code: "8b", ...who },
    ]);
  });

  it("a bridge that is switched off forwards nothing, and goes on when switched on", async () => {
    await using there = await CloudClient.connect(cloud.tcpPort);
    await there.client.subscribeAsync("sw/#");
    await using test = await TestBridge.start({ server: server(), forwards: [forward("sw/#")] });
    await test.connected();
    test.bridge.setEnabled(false);
    expect(test.status()).toMatchObject({ state: "disabled", lastError: null });
    await test.bus.send("sw/1", "lost");
    test.bridge.setEnabled(true);
    await test.connected();
    await test.bus.send("sw/2", "seen");
    await eventually(() => expect(there.got).toEqual(["sw/2 seen"]));
  });

  it("QoS 0 is kept while the link is down", async () => {
    await using test = await TestBridge.start({
      server: "mqtt://127.0.0.1:1",
      forwards: [forward("#")],
    });
    await test.bus.send("t", "x", { qos: 0 });
    expect(test.status()).toMatchObject({ depthMessages: 1 });
    expect(test.status().dropped).toMatchObject({ link_down: 0 });
  });

  it("QoS 0 is dropped and counted while the link is down if it is not to be kept", async () => {
    await using test = await TestBridge.start({
      server: "mqtt://127.0.0.1:1",
      store_qos0: false,
      forwards: [forward("#")],
    });
    await test.bus.send("t", "x", { qos: 0 });
    await test.bus.send("t", "y", { qos: 1 });
    expect(test.status()).toMatchObject({ depthMessages: 1, depthBytes: 2 });
    expect(test.status().dropped).toMatchObject({ link_down: 1 });
  });

  it("topics that start with $ are never forwarded", async () => {
    await using there = await CloudClient.connect(cloud.tcpPort);
    await there.client.subscribeAsync("sys/#");
    await using test = await TestBridge.start({
      server: server(),
      forwards: [forward("$SYS/#", "", { prefix: "sys/" }), forward("#", "", { prefix: "sys/" })],
    });
    await test.connected();
    await test.bus.send("$SYS/x", "secret");
    await test.bus.send("x", "open");
    await eventually(() => expect(there.got).toEqual(["sys/x open"]));
  });
});

describe("cloud that goes away", () => {
  it.each([4, 5] as const)(
    "QoS 1 and 2 messages published while it is killed are delivered in order, none lost, level %i",
    async (version) => {
      await using store = await temporaryDirectory();
      await chmod(store.path, 0o777);
      await using broker = await Mosquitto.start([
        "allow_anonymous true",
        ...["persistence true", `persistence_location ${store.path}/`],
        ...["max_queued_messages 0", "autosave_on_changes true", "autosave_interval 1"],
      ]);
      await using there = await CloudClient.connect(broker.tcpPort, {
        clientId: "ledger",
        clean: false,
      });
      // With QoS 2 mosquitto 2.0.11 itself mixes up what it had queued for the subscriber.
      await there.client.subscribeAsync("n/#", { qos: 1 });
      await using test = await TestBridge.start({
        server: `mqtt://127.0.0.1:${broker.tcpPort}`,
        proto_ver: version,
        forwards: [forward("n/#")],
        max_inflight: 5,
      });
      await test.connected();
      let sent = 0;
      const send = async (count: number) => {
        for (let i = 0; i < count; i++) {
          sent += 1;
          await test.bus.send(`n/${sent % 2}`, String(sent), { qos: sent % 2 === 0 ? 1 : 2 });
        }
      };
      await send(50);
      await broker.kill("SIGTERM");
      await send(200);
      await eventually(() => expect(test.status().state).not.toBe("connected"));
      expect(test.status().depthMessages).toBeGreaterThanOrEqual(200);
      await broker.run();
      await send(50);
      await eventually(() => expect(test.status().depthMessages).toBe(0));
      const numbers = (parity: number) =>
        there.got.filter((it) => it.startsWith(`n/${parity} `)).map((it) => Number(it.slice(4)));
      await eventually(() => {
        expect(new Set(there.got).size).toBe(300);
      });
      const all = Array.from({ length: 300 }, (_, index) => index + 1);
      for (const parity of [0, 1]) {
        expect([...new Set(numbers(parity))]).toEqual(all.filter((n) => n % 2 === parity));
      }
    },
  );

  it("what the cloud kept for the session arrives after a reconnect", async () => {
    await using there = await CloudClient.connect(cloud.tcpPort);
    const cfg = {
      server: server(),
      clientid: "keeps-session",
      subscription: [subscription("missed/#", "")],
    };
    await using test = await TestBridge.start(cfg);
    await subscribed(test, there, "missed/probe");
    test.bridge.setEnabled(false);
    for (const text of ["1", "2", "3"]) {
      await there.client.publishAsync("missed/a", text, { qos: 1 });
    }
    test.bridge.setEnabled(true);
    await eventually(() => {
      const got = test.bus.fromBridge().filter((it) => !it.endsWith("probe"));
      expect(got).toEqual(["missed/a 1", "missed/a 2", "missed/a 3"]);
    });
  });

  it("PUBACK goes to the cloud only when the local broker has stored the message", async () => {
    await using there = await CloudClient.connect(cloud.tcpPort);
    const cfg = {
      server: server(),
      clientid: "acknowledges-late",
      subscription: [subscription("safe/#", "")],
    };
    await using test = await TestBridge.start(cfg);
    await subscribed(test, there, "safe/probe");
    test.bus.store = () => Promise.reject(new Error("the disk is full"));
    await there.client.publishAsync("safe/a", "1", { qos: 1 });
    expect(await test.trouble()).toBe("a message could not be published here: the disk is full");
    test.bus.published.length = 0;
    test.bus.store = () => Promise.resolve();
    await eventually(() => expect(test.bus.fromBridge()).toEqual(["safe/a 1"]));
  });
});

describe("cloud that refuses", () => {
  it("names wrong credentials, and what it may not subscribe to", async () => {
    await using files = await temporaryDirectory();
    const passwords = join(files.path, "passwords");
    const acl = join(files.path, "acl");
    await writeFile(passwords, "");
    await promisify(execFile)("mosquitto_passwd", ["-b", passwords, "gateway", "right"]);
    await writeFile(acl, "user gateway\ntopic readwrite open/#\n");
    await using strict = await Mosquitto.start([
      "allow_anonymous false",
      `password_file ${passwords}`,
    ]);
    const url = `mqtt://127.0.0.1:${strict.tcpPort}`;
    for (const [version, words] of [
      [3, "not authorised (CONNACK 5)"],
      [4, "not authorised (CONNACK 5)"],
      [5, "not authorised (CONNACK 0x87)"],
    ] as const) {
      await using test = await TestBridge.start({
        server: url,
        proto_ver: version,
        username: "gateway",
        password: "wrong",
      });
      expect(await test.trouble()).toBe(words);
    }
    await using right = await TestBridge.start({
      server: url,
      username: "gateway",
      password: "right",
    });
    await right.connected();
  });
});
