import { createServer, type Server } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { expect, onTestFinished } from "vitest";
import { Canary, expectUndisturbed, songOf } from "../faults/canary.ts";
import { faultTest, scaled } from "../faults/fault-test.ts";
import type { Random } from "../faults/random.ts";
import { connectDevice } from "../helpers/mqtt.ts";
import { until } from "../helpers/until.ts";
import { Machine } from "./gateways.ts";

const SECONDS = scaled(2, 60);

/** A server that says, on each connection, what `script` makes of each chunk. */
async function cloud(
  script: (chunk: Buffer, send: (bytes: Buffer) => void, end: () => void) => void,
): Promise<{ readonly tcpPort: number; dials(): number }> {
  let dials = 0;
  const server: Server = createServer((socket) => {
    dials += 1;
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk) =>
      script(
        chunk,
        (bytes) => {
          if (socket.writable) socket.write(bytes);
        },
        () => socket.destroy(),
      ),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no TCP address");
  return { tcpPort: address.port, dials: () => dials };
}

const CONNACK = Buffer.of(0x20, 2, 0, 0);

function isConnect(chunk: Buffer): boolean {
  return chunk[0] === 0x10;
}

/** A gateway with this bridge, under QoS 1 load, and what its other clients noticed. */
async function suffer(server: string, more: object = {}) {
  const edge = await Machine.start({
    cloud: { server, backoff_max_s: 2, forwards: [{ local_topic: "plant/#" }], ...more },
  });
  const sensor = await connectDevice(edge.tcpPort);
  const canary = await Canary.start(edge.tcpPort);
  const endMs = performance.now() + SECONDS * 1000;
  let acknowledged = 0;
  while (performance.now() < endMs) {
    await sensor.client.publishAsync("plant/a", String(acknowledged), { qos: 1 });
    acknowledged += 1;
    await delay(5);
  }
  const measured = await canary.stop();
  const status = await edge.status("cloud");
  return { edge, acknowledged, measured, status };
}

const limits = { short: 60_000, long: 300_000 };

faultTest("a cloud that never acknowledges harms nobody, and all is kept", limits, async (run) => {
  const { tcpPort } = await cloud((chunk, send) => {
    if (isConnect(chunk)) send(CONNACK);
  });
  const { acknowledged, measured, status } = await suffer(`mqtt://127.0.0.1:${tcpPort}`);
  run.report({ acknowledged, waiting: Number(status["depth_messages"]), ...songOf(measured) });
  expectUndisturbed(measured);
  expect(status).toMatchObject({ state: "connected", depth_messages: acknowledged, forwarded: 0 });
});

faultTest(
  "a cloud that closes after every few packets is dialled ever more rarely",
  limits,
  async (run) => {
    const { tcpPort, dials } = await cloud((chunk, send, end) => {
      if (isConnect(chunk)) send(CONNACK);
      else end();
    });
    const { measured, status } = await suffer(`mqtt://127.0.0.1:${tcpPort}`);
    run.report({ dials: dials(), ...songOf(measured) });
    expectUndisturbed(measured);
    expect(dials()).toBeLessThan(4 + SECONDS * 2);
    expect(status["depth_messages"]).toBeGreaterThan(0);
  },
);

faultTest(
  "a hostile cloud: garbage, broken lengths, 10,000 retained messages at once",
  limits,
  async (run) => {
    const { tcpPort, dials } = await cloud((chunk, send, end) => {
      if (!isConnect(chunk)) return;
      send(CONNACK);
      send(hostile(run.random));
      setTimeout(end, 100);
    });
    const { edge, measured, status } = await suffer(`mqtt://127.0.0.1:${tcpPort}`, {
      subscription: [{ remote_topic: "cmd/#" }],
    });
    run.report({ dials: dials(), ...songOf(measured) });
    expectUndisturbed(measured);
    expect(dials()).toBeGreaterThan(1);
    expect(String(status["last_error"])).not.toBe("null");
    expect((await edge.status("cloud"))["name"]).toBe("cloud");
  },
);

faultTest("names that DNS does not know, or not in time, stall nobody", limits, async (run) => {
  const names = Array.from({ length: 8 }, (_, n) => `nobody-${n}.invalid`);
  const others = Object.fromEntries(
    names.map((name, n) => [`b${n}`, { server: `mqtt://${name}`, backoff_max_s: 1 }]),
  );
  const local = { server: "mqtt://nobody-here", backoff_max_s: 1 };
  const edge = await Machine.start({ ...others, local });
  const canary = await Canary.start(edge.tcpPort);
  await until(
    "the first failure",
    async () => (await edge.status("b0"))["last_error"] !== null,
    30_000,
  );
  await delay(SECONDS * 1000);
  const measured = await canary.stop();
  run.report({ lastError: String((await edge.status("b0"))["last_error"]), ...songOf(measured) });
  expectUndisturbed(measured);
});

function hostile(random: Random): Buffer {
  switch (random.int(0, 4)) {
    case 0:
      return random.bytes(random.int(1, 2000));
    case 1:
      // 10,000 retained messages at once.
      return Buffer.concat(Array.from({ length: 10_000 }, () => publish(0x31, "cmd/x", "v")));
    case 2:
      return Buffer.of(0x32, 0xff, 0xff, 0xff, 0x7f);
    case 3:
      return Buffer.of(0x30, 2, 0, 0);
    default:
      return publish(0x36, "cmd/#", "v");
  }
}

function publish(first: number, topic: string, payload: string): Buffer {
  const body = Buffer.concat([
    Buffer.of(0, topic.length),
    Buffer.from(topic),
    Buffer.from(payload),
  ]);
  return Buffer.concat([Buffer.of(first, body.length), body]);
}
