import { expect, test } from "vitest";
import type { Observer } from "../mqtt/index.ts";
import { createBroker } from "./index.ts";
import { Rig, until } from "./rig.testing.ts";
import { WireClient } from "./wire.testing.ts";

/** Writes down what it sees. */
function notes(): Observer & { readonly lines: string[] } {
  const lines: string[] = [];
  return {
    lines,
    published: ({ topic, qos, payloadBytes }, from) =>
      void lines.push(`published ${topic} ${qos} ${payloadBytes} ${from}`),
    sent: (clientId, { topic }, qos, seq) =>
      void lines.push(`sent ${clientId} ${topic} ${qos}${seq < 0 ? "" : " awaits"}`),
    acked: (clientId) => void lines.push(`acked ${clientId}`),
    dropped: (clientId, topic, loss) => void lines.push(`dropped ${clientId} ${topic} ${loss}`),
    client: ({ kind, clientId }) => void lines.push(`${kind} ${clientId}`),
  };
}

test("an observer sees clients, messages, copies, acknowledgements and losses, and then no more", async () => {
  const rig = await Rig.start(createBroker, { isAllowed: ({ topic }) => topic !== "no" });
  try {
    const { lines, ...observer } = notes();
    const stop = rig.broker.observe(observer);
    const client = await WireClient.connect(rig.tcpPort, "c");
    client.isAnswering = true;
    await client.subscribe("t", 2);
    for (const qos of [0, 1, 2] as const) {
      client.publish("t", "xy", { qos, messageId: 5 });
      await until(() => client.messages.length === qos + 1);
      await until(() => rig.broker.metrics()["messages.acked"] === qos);
    }
    client.publish("nobody", "x");
    client.publish("no", "x");
    client.send({ cmd: "unsubscribe", messageId: 3, unsubscriptions: ["t"] });
    await client.next("unsuback");
    client.send({ cmd: "disconnect" });
    await client.closed();
    await until(() => lines.includes("disconnected c"));
    expect(lines).toEqual([
      "connected c",
      "subscribed c",
      "published t 0 2 c",
      "sent c t 0",
      "published t 1 2 c",
      "sent c t 1 awaits",
      "acked c",
      "published t 2 2 c",
      "sent c t 2 awaits",
      "acked c",
      "published nobody 0 1 c",
      "dropped null nobody no_subscriber",
      "dropped c no not_authorized",
      "unsubscribed c",
      "disconnected c",
    ]);
    stop();
    stop();
    await rig.publish("t", "x");
    expect(lines).toHaveLength(15);
  } finally {
    await rig.close();
  }
});

test("a retained message's way to a new subscription begins with the subscription", async () => {
  const rig = await Rig.start(createBroker);
  try {
    await rig.publish("t", "x", { retain: true });
    const seen: number[] = [];
    const publishedMs = Date.now();
    await until(() => Date.now() > publishedMs);
    const startMs = Date.now();
    rig.broker.observe({ sent: (_clientId, { publishedMs }) => void seen.push(publishedMs) });
    const client = await rig.connect({ clientId: "c" });
    await client.subscribe("t");
    await until(() => seen.length === 1);
    expect(seen[0]).toBeGreaterThanOrEqual(startMs);
  } finally {
    await rig.close();
  }
});

test("several observers see the same, each what it asked for, with the time of arrival", async () => {
  const rig = await Rig.start(createBroker);
  try {
    const seen: number[] = [];
    const first = notes();
    const startMs = Date.now();
    rig.broker.observe(first);
    rig.broker.observe({ published: ({ publishedMs }) => void seen.push(publishedMs) });
    await rig.publish("t", "x");
    expect(first.lines).toEqual(["published t 0 1 null", "dropped null t no_subscriber"]);
    expect(seen).toHaveLength(1);
    expect(seen[0]).toBeGreaterThanOrEqual(startMs);
    expect(seen[0]).toBeLessThanOrEqual(Date.now());
  } finally {
    await rig.close();
  }
});
