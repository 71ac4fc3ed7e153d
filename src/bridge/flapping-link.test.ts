import { expect, it } from "vitest";
import { CloudClient, eventually, forward, subscription, TestBridge } from "./bridge.testing.ts";
import { FlakyRelay } from "./flaky-relay.testing.ts";
import { Mosquitto } from "./mosquitto.testing.ts";

const FLAPS = 40;

it.each([4, 5] as const)(
  `through ${FLAPS} breaks of the link nothing is lost, QoS 2 comes once, order is kept, level %i`,
  async (version) => {
    await using cloud = await Mosquitto.start([
      ...["allow_anonymous true", "max_queued_messages 0", "set_tcp_nodelay true"],
    ]);
    await using relay = await FlakyRelay.start(cloud.tcpPort);
    await using there = await CloudClient.connect(cloud.tcpPort);
    await there.client.subscribeAsync("up/#", { qos: 2 });
    await using test = await TestBridge.start({
      server: `mqtt://127.0.0.1:${relay.tcpPort}`,
      proto_ver: version,
      backoff_min_s: 0.005,
      backoff_max_s: 0.02,
      forwards: [forward("up/#")],
      subscription: [subscription("down/#", "", { qos: 2 })],
    });
    await eventually(async () => {
      await there.client.publishAsync("down/0", "probe", { qos: 1 });
      if (test.status().received === 0) throw new Error("not subscribed yet");
    });
    let sent = 0;
    const downs: Promise<unknown>[] = [];
    for (let flap = 0; flap < FLAPS; flap++) {
      for (let i = 0; i < 20; i++) {
        sent += 1;
        const qos = sent % 2 === 0 ? 1 : 2;
        await test.bus.send(`up/${qos}`, String(sent), { qos });
        downs.push(there.client.publishAsync(`down/${qos}`, String(sent), { qos }));
        // Mosquitto takes 20 QoS 2 messages of one client at once.
        if (downs.length >= 20) await downs.shift();
      }
      const before = test.status().forwarded;
      await eventually(() => expect(test.status().forwarded).toBeGreaterThan(before + (flap % 7)));
      relay.breakAll(flap % 2 === 0);
    }
    await Promise.all(downs);
    const all = Array.from({ length: sent }, (_, index) => index + 1);
    const odd = all.filter((n) => n % 2 === 1);
    const even = all.filter((n) => n % 2 === 0);
    const numbers = (texts: readonly string[], start: string) =>
      texts.filter((it) => it.startsWith(start)).map((it) => Number(it.slice(start.length)));
    await eventually(() => {
      expect(new Set(numbers(there.got, "up/1 ")).size).toBe(even.length);
      expect(numbers(there.got, "up/2 ")).toEqual(odd);
      expect(numbers(test.bus.fromBridge(), "down/2 ")).toEqual(odd);
      expect(new Set(numbers(test.bus.fromBridge(), "down/1 ")).size).toBe(even.length);
    });
    expect([...new Set(numbers(there.got, "up/1 "))]).toEqual(even);
    expect([...new Set(numbers(test.bus.fromBridge(), "down/1 "))]).toEqual(even);
    await eventually(() => expect(test.status()).toMatchObject({ depthMessages: 0 }));
  },
);

it("a black hole in mid-drain is found, and the rest arrives over the next connection", async () => {
  await using cloud = await Mosquitto.start([
    ...["allow_anonymous true", "max_queued_messages 0", "set_tcp_nodelay true"],
  ]);
  await using relay = await FlakyRelay.start(cloud.tcpPort);
  await using there = await CloudClient.connect(cloud.tcpPort);
  await there.client.subscribeAsync("up/#", { qos: 1 });
  await using test = await TestBridge.start({
    server: `mqtt://127.0.0.1:${relay.tcpPort}`,
    keepalive_s: 1,
    forwards: [forward("up/#")],
  });
  await test.connected();
  for (let i = 0; i < 300; i++) {
    if (i === 100) relay.freeze();
    await test.bus.send("up/x", String(i));
  }
  await eventually(() => expect(new Set(there.got).size).toBe(300));
  expect([...new Set(there.got)]).toEqual(Array.from({ length: 300 }, (_, i) => `up/x ${i}`));
});
