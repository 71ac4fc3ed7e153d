/** The thread of a canary: a publisher and a subscriber of its own, undisturbed by the test's work. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { parentPort, workerData } from "node:worker_threads";
import type { CanaryFigures, CanaryOrders } from "./canary-figures.ts";
import {
  ackFrame,
  connectFrame,
  PACKET,
  PacketReader,
  publishFrame,
  readPublish,
  subscribeFrame,
} from "./wire.ts";

const PERIOD_MS = 10;
const OWN_TOPIC = "canary/song";

const orders: CanaryOrders = workerData;
const sentMs: number[] = [];
const roundTripsMs: number[] = [];
const acksPending = new Map<number, number>();
let worstAckMs = 0;
let received = 0;

const subscriber = await join("canary-subscriber", ({ type, body, flags }) => {
  if (type !== PACKET.publish) return;
  const { payload, packetId } = readPublish({ type, body, flags }, 4);
  const startedMs = sentMs[Number(payload.toString())];
  if (startedMs === undefined) throw new Error(`a song nobody sang: ${payload}`);
  roundTripsMs.push(performance.now() - startedMs);
  received++;
  subscriber.write(ackFrame(PACKET.puback, packetId));
});
const publisher = await join("canary-publisher", ({ type, body }) => {
  if (type !== PACKET.puback) return;
  const packetId = body.readUInt16BE(0);
  const startedMs = acksPending.get(packetId) ?? Number.NaN;
  acksPending.delete(packetId);
  worstAckMs = Math.max(worstAckMs, performance.now() - startedMs);
});
subscriber.write(subscribeFrame(4, 1, [OWN_TOPIC], 1));

const lag = monitorEventLoopDelay({ resolution: 1 });
lag.enable();
let packetId = 0;
const singing = setInterval(() => {
  const number = sentMs.push(performance.now()) - 1;
  publish(OWN_TOPIC, Buffer.from(`${number}`));
  const { crowdedTopics } = orders;
  const crowded = crowdedTopics[number % crowdedTopics.length];
  if (crowded !== undefined) publish(crowded, Buffer.from("canary"));
}, PERIOD_MS);
parentPort?.postMessage("singing");

parentPort?.once("message", () => {
  clearInterval(singing);
  // What is still on its way counts with the time it has taken so far.
  const deadlineMs = performance.now() + 5000;
  const waiting = setInterval(() => {
    const isDone = received === sentMs.length && acksPending.size === 0;
    if (!isDone && performance.now() < deadlineMs) return;
    clearInterval(waiting);
    const sorted = roundTripsMs.toSorted((a, b) => a - b);
    const figures: CanaryFigures = {
      count: sentMs.length,
      unanswered: sentMs.length - received + acksPending.size,
      medianMs: sorted[Math.floor(sorted.length / 2)] ?? Number.NaN,
      p99Ms: sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN,
      worstMs: sorted.at(-1) ?? Number.NaN,
      worstAckMs,
      ownLagMs: lag.max / 1e6,
    };
    parentPort?.postMessage(figures);
    subscriber.destroy();
    publisher.destroy();
  }, PERIOD_MS);
});

function publish(topic: string, payload: Buffer): void {
  packetId = (packetId % 65_535) + 1;
  acksPending.set(packetId, performance.now());
  publisher.write(publishFrame(4, { topic, payload, qos: 1, packetId }));
}

/** Connects; `onPacket` gets what comes behind CONNACK. */
async function join(
  clientId: string,
  onPacket: (packet: { type: number; flags: number; body: Buffer }) => void,
): Promise<Socket> {
  const socket = connect({ port: orders.tcpPort, host: "127.0.0.1", noDelay: true });
  const reader = new PacketReader();
  await once(socket, "connect");
  // What is left unanswered then shows in the figures.
  socket.on("error", () => {});
  const accepted = new Promise<void>((resolve) => {
    socket.on("data", (chunk: Buffer) => {
      for (const packet of reader.push(chunk)) {
        if (packet.type === PACKET.connack) resolve();
        else onPacket(packet);
      }
    });
  });
  socket.write(connectFrame({ clientId, version: 4, isClean: true }));
  await accepted;
  return socket;
}
