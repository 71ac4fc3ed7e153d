import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FlakyRelay } from "../../src/bridge/flaky-relay.testing.ts";
import { FaultProxy } from "../helpers/fault-proxy.ts";
import { startGateway, TEST_CONFIG } from "../helpers/gateway-process.ts";
import { startMosquitto } from "../helpers/mosquitto.ts";
import { connectDevice } from "../helpers/mqtt.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import type { DiskControl } from "./disk-control.ts";
import { DiskShim } from "./disk-shim.ts";
import { payloadOf } from "./payload.ts";
import { figures } from "./scale.ts";

const MESSAGES = 1000;
const PAYLOAD_BYTES = 256;
const PAYLOADS_BYTES = MESSAGES * PAYLOAD_BYTES;

/** Messages that wait for their PUBACK at once. */
const IN_FLIGHT = 5;

/** What is done later than the acknowledgement is done after so long without another write. */
const QUIET_MS = 600;

interface Writes {
  readonly bytes: number;
  readonly syncs: number;
}

describe("what QoS 1 messages cost the card", () => {
  it("is close to nothing while every receiver is online, and a small multiple of the payload when one is away", async () => {
    const root = tempDir();
    const disk = new DiskShim(root);
    const { ports } = await startGateway({ dataDir: join(root, "data"), env: disk.env });
    const [first] = await Promise.all(
      ["one", "two"].map((clientId) =>
        connectDevice(ports.tcp, { clientId, clean: false, subscribe: ["online/#", "both/#"] }),
      ),
    );
    const away = await connectDevice(ports.tcp, {
      clientId: "away",
      clean: false,
      subscribe: ["both/#"],
    });
    await away.client.endAsync();

    await publish(ports.tcp, "online/x", 100);
    await first?.receives(100);
    await quiet(disk.control);
    const idle = await writesOf(disk.control, async () => {});
    // What is written is what a receiver has not acknowledged within store.commit_delay_ms, which a
    // busy machine may be the reason for.
    let sent = 100;
    let online: Writes;
    do {
      online = await writesOf(disk.control, () => publish(ports.tcp, "online/x", MESSAGES));
      sent += MESSAGES;
    } while (online.bytes > PAYLOADS_BYTES / 4 && sent < 3 * MESSAGES);
    const one = await writesOf(disk.control, () => publish(ports.tcp, "both/x", MESSAGES));
    const drained = await writesOf(disk.control, async () => {
      const back = await connectDevice(ports.tcp, { clientId: "away", clean: false });
      await back.receives(MESSAGES);
    });

    report("every receiver online", online);
    report("one receiver away", one);
    report("the queue drained", drained);
    report("nobody does anything", idle);
    expect(first?.received.length).toBe(sent + MESSAGES);
    expect(online.bytes).toBeLessThan(PAYLOADS_BYTES / 4);
    // faults.md L6.
    expect(one.bytes).toBeLessThan(3 * PAYLOADS_BYTES);
    // Removals, and the compaction that gives the room back.
    expect(drained.bytes).toBeLessThan(2 * PAYLOADS_BYTES);
    expect(idle.bytes).toBeLessThan(10_000);
  }, 60_000);

  it("stays at ten waits for the disk a second with store.max_commits_per_s, and nothing acknowledged is lost", async () => {
    const root = tempDir();
    const disk = new DiskShim(root);
    const config = `${TEST_CONFIG}\nstore: {max_commits_per_s: 10}\n`;
    const gateway = await startGateway({ config, dataDir: join(root, "data"), env: disk.env });
    const { tcp } = gateway.ports;
    const session = { clientId: "away", clean: false };
    const away = await connectDevice(tcp, { ...session, subscribe: ["both/#"] });
    await away.client.endAsync();
    const publishers = await Promise.all(Array.from({ length: 20 }, () => connectDevice(tcp)));

    const startMs = performance.now();
    const syncs = disk.control.count("sync");
    const lanes = publishers.map(async ({ client }, lane) => {
      let count = 0;
      while (performance.now() - startMs < 3000) {
        await client.publishAsync("both/x", payloadOf(`${lane}-${count++}`, 256), { qos: 1 });
      }
      return count;
    });
    const sent = (await Promise.all(lanes)).reduce((sum, count) => sum + count, 0);
    const seconds = (performance.now() - startMs) / 1000;
    const perS = (disk.control.count("sync") - syncs) / seconds;
    figures(
      `write budget, ten commits a second: ${(sent / seconds).toFixed(0)} msg/s of 20 publishers, one at a time each, at ${perS.toFixed(1)} fsyncs/s`,
    );
    // faults.md L6, and one for the edges of the time measured.
    expect(perS).toBeLessThan(10 + 1 / seconds);
    expect(sent / seconds).toBeGreaterThan(20);
    await gateway.child.kill("SIGKILL");
    const again = await startGateway({ dataDir: gateway.dataDir });
    const back = await connectDevice(again.ports.tcp, session);
    await back.receives(sent);
  }, 60_000);

  it("is close to nothing while the cloud they are forwarded to answers, and a small multiple of the payload while it is away", async () => {
    // Else Nagle keeps acknowledgements back, for longer than a commit waits.
    const { tcpPort } = await startMosquitto({ lines: ["set_tcp_nodelay true"] });
    await using relay = await FlakyRelay.start(tcpPort);
    const root = tempDir();
    const disk = new DiskShim(root);
    const config = `${TEST_CONFIG}
bridges:
  cloud: {server: "mqtt://127.0.0.1:${relay.tcpPort}", backoff_max_s: 1, forwards: [{local_topic: "up/#"}]}
`;
    const { ports } = await startGateway({ dataDir: join(root, "data"), env: disk.env, config });
    const there = await connectDevice(tcpPort, { clean: true, subscribe: ["up/#"] });

    await publish(ports.tcp, "up/x", 100);
    await there.receives(100);
    await quiet(disk.control);
    let sent = 100;
    // As above: a busy machine may keep an answer longer than store.commit_delay_ms.
    let online: Writes;
    do {
      online = await writesOf(disk.control, async () => {
        await publish(ports.tcp, "up/x", MESSAGES);
        sent += MESSAGES;
        await there.receives(sent);
      });
    } while (online.bytes > PAYLOADS_BYTES / 4 && sent < 3 * MESSAGES);
    relay.isRefusing = true;
    relay.breakAll(false);
    const away = await writesOf(disk.control, () => publish(ports.tcp, "up/x", MESSAGES));
    const drained = await writesOf(disk.control, async () => {
      relay.isRefusing = false;
      await there.receives(sent + MESSAGES);
    });
    await there.client.endAsync();

    report("the cloud there", online);
    report("the cloud away", away);
    report("the outbox drained", drained);
    expect(online.bytes).toBeLessThan(PAYLOADS_BYTES / 4);
    expect(away.bytes).toBeLessThan(3 * PAYLOADS_BYTES);
    expect(drained.bytes).toBeLessThan(2 * PAYLOADS_BYTES);
  }, 60_000);

  it("is close to nothing while the cloud is 60 ms away", async () => {
    const { tcpPort } = await startMosquitto({ lines: ["set_tcp_nodelay true"] });
    const line = await FaultProxy.start(tcpPort);
    line.line = { delayMs: 30, bytesPerS: 0, loss: 0 };
    const root = tempDir();
    const disk = new DiskShim(root);
    const config = `${TEST_CONFIG}
bridges:
  cloud: {server: "mqtt://127.0.0.1:${line.tcpPort}", forwards: [{local_topic: "up/#"}]}
`;
    const { ports } = await startGateway({ dataDir: join(root, "data"), env: disk.env, config });
    const there = await connectDevice(tcpPort, { clean: true, subscribe: ["up/#"] });
    await publish(ports.tcp, "up/x", 100);
    await there.receives(100);
    await quiet(disk.control);
    const startMs = performance.now();
    const far = await writesOf(disk.control, async () => {
      await publish(ports.tcp, "up/x", MESSAGES);
      await there.receives(100 + MESSAGES);
    });
    report("the cloud 60 ms away", far);
    figures(`${Math.round((MESSAGES * 1000) / (performance.now() - startMs))} msg/s`);
    expect(far.bytes).toBeLessThan(PAYLOADS_BYTES / 4);
  }, 60_000);
});

/** Publishes with QoS 1, some at once; resolves when all are acknowledged. */
async function publish(tcpPort: number, topic: string, count: number): Promise<void> {
  const { client } = await connectDevice(tcpPort, {});
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const payload = payloadOf(`${topic}-${next++}`, PAYLOAD_BYTES);
      await client.publishAsync(topic, payload, { qos: 1 });
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  await client.endAsync();
}

/** What is written from now on until what `task` causes is over. */
async function writesOf(control: DiskControl, task: () => Promise<void>): Promise<Writes> {
  const { bytesWritten } = control;
  const syncs = control.count("sync");
  await task();
  await quiet(control);
  return { bytes: control.bytesWritten - bytesWritten, syncs: control.count("sync") - syncs };
}

/** Resolves when nothing has been written for some time. */
async function quiet(control: DiskControl): Promise<void> {
  let before: number;
  do {
    before = control.bytesWritten;
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
  } while (before !== control.bytesWritten);
}

function report(what: string, { bytes, syncs }: Writes): void {
  const per1000 = Math.round((bytes * 1000) / MESSAGES);
  figures(
    `write budget, ${what}: ${per1000} bytes and ${((syncs * 1000) / MESSAGES).toFixed(1)} fsyncs per 1,000 messages of ${PAYLOAD_BYTES} B`,
  );
}
