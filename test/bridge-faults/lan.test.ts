import { writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect, onTestFinished } from "vitest";
import { Canary, expectUndisturbed } from "../faults/canary.ts";
import { faultTest, IS_LONG, scaled } from "../faults/fault-test.ts";
import { FAULT_CONFIG, FaultyGateway } from "../faults/gateway.ts";
import { FaultProxy } from "../helpers/fault-proxy.ts";
import { freeTcpPort } from "../helpers/free-tcp-port.ts";
import { startMosquitto } from "../helpers/mosquitto.ts";
import { connectDevice } from "../helpers/mqtt.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { type DnsAnswer, startDns } from "./dns-server.ts";

const SECONDS = scaled(1, 20);

/** DNS servers listen on port 53 alone, and only root may say which one a process asks. */
const IS_ROOT = process.getuid?.() === 0;
const DNS_ADDRESS = "127.53.53.53";

/** A fault of the way to the cloud, or of the cloud: made ready, and then done again and again. */
interface Fault {
  readonly server: string;
  readonly dns?: boolean;
  again?(): void;
}

type Faults = Readonly<Record<string, () => Promise<Fault>>>;

/** A line to a mosquitto that fails. */
function line(prepare: (proxy: FaultProxy) => void, again?: (proxy: FaultProxy) => void) {
  return async (): Promise<Fault> => {
    const { tcpPort } = await startMosquitto();
    const proxy = await FaultProxy.start(tcpPort);
    prepare(proxy);
    return {
      server: `mqtt://127.0.0.1:${proxy.tcpPort}`,
      ...(again === undefined ? {} : { again: () => again(proxy) }),
    };
  };
}

/** A cloud that answers CONNECT and then says this, again and again. */
function cloud(words: (() => Buffer) | null, isEnding = false) {
  return async (): Promise<Fault> => {
    const server: Server = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      socket.on("data", (chunk) => {
        if (chunk[0] === CONNECT) socket.write(CONNACK);
        else if (isEnding) socket.destroy();
        if (chunk[0] === CONNECT && words !== null) socket.write(words());
      });
    });
    server.listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    onTestFinished(() => {
      server.close();
    });
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no TCP address");
    return { server: `mqtt://127.0.0.1:${address.port}` };
  };
}

/** A name, and a DNS server that does this with it. */
function dns(answer: DnsAnswer | null) {
  return async (): Promise<Fault> => {
    await startDns(DNS_ADDRESS, answer);
    return { server: `mqtt://cloud.example:${await freeTcpPort()}`, dns: true };
  };
}

const CONNECT = 0x10;
const CONNACK = Buffer.of(0x20, 2, 0, 0);

const FAULTS: Faults = {
  "no fault": line(() => {}),
  "connections reset (RST) every half second": line(
    () => {},
    (proxy) => proxy.breakAll("rst"),
  ),
  "connections ended (FIN) every half second": line(
    () => {},
    (proxy) => proxy.breakAll("fin"),
  ),
  "a black hole": line((proxy) => {
    proxy.isHole = true;
  }),
  "half-open connections": line(
    () => {},
    (proxy) => proxy.freeze(),
  ),
  "a delay of a second": line((proxy) => {
    proxy.line = { delayMs: 1000, bytesPerS: 0, loss: 0 };
  }),
  "30 % loss": line((proxy) => {
    proxy.line = { delayMs: 0, bytesPerS: 0, loss: 0.3 };
  }),
  "1,000 bytes a second": line((proxy) => {
    proxy.line = { delayMs: 0, bytesPerS: 1000, loss: 0 };
  }),
  "a cloud that refuses connections": async () => ({
    server: `mqtt://127.0.0.1:${await freeTcpPort()}`,
  }),
  "a cloud that never acknowledges": cloud(null),
  "a cloud that closes at once": cloud(null, true),
  "10,000 retained messages at once": cloud(() =>
    Buffer.concat(Array.from({ length: 10_000 }, (_, n) => publish(0x31, `cmd/${n}`, "v"))),
  ),
  "malformed packets": cloud(() => Buffer.of(0x30, 2, 0, 0, 0x32, 0xff, 0xff, 0xff, 0xff)),
  "messages of 8 MB": cloud(() => publish(0x30, "cmd/large", "v".repeat(8_000_000))),
  "DNS that is silent": dns(null),
  "DNS that fails": dns({ address: null, afterMs: 0 }),
  "DNS that takes 4 s": dns({ address: "127.0.0.1", afterMs: 4000 }),
  "DNS that is wrong": dns({ address: "127.66.66.66", afterMs: 0 }),
};

/** Every day these; all of them in the long form, whose lines are the table. */
const EVERYDAY = ["a black hole", "10,000 retained messages at once"];

for (const [name, begin] of Object.entries(FAULTS)) {
  if (!IS_LONG && !EVERYDAY.includes(name)) continue;
  if (name.startsWith("DNS") && !IS_ROOT) continue;
  faultTest(
    `round trips on the LAN during ${name}`,
    { short: 30_000, long: 120_000 },
    async ({ report }) => {
      const fault = await begin();
      const bridge = {
        server: fault.server,
        ...{ keepalive_s: 2, connect_timeout_s: 3, backoff_max_s: 1 },
        forwards: [{ local_topic: "plant/#" }],
        subscription: [{ remote_topic: "cmd/#", qos: 1 }],
      };
      const gateway = new FaultyGateway({
        config: `${FAULT_CONFIG}\nbridges: ${JSON.stringify({ cloud: bridge })}\n`,
        ...(fault.dns === true ? { wrapper: asking(DNS_ADDRESS) } : {}),
      });
      const life = await gateway.start();
      const canary = await Canary.start(life.ports.tcp);
      const { client } = await connectDevice(life.ports.tcp);
      const endMs = performance.now() + SECONDS * 1000;
      let published = 0;
      for (; performance.now() < endMs; published++) {
        await client.publishAsync("plant/a", String(published), { qos: 1 });
        if (published % 100 === 99) fault.again?.();
        await delay(5);
      }
      const song = await canary.stop();
      const { count, medianMs, p99Ms, worstMs, ownLagMs } = song;
      const times = Object.entries({ medianMs, p99Ms, worstMs, ownLagMs });
      report({
        ...{ published, roundTrips: count },
        ...Object.fromEntries(times.map(([what, ms]) => [what, Math.round(ms * 10) / 10])),
      });
      expectUndisturbed(song);
      await client.endAsync(true);
      expect(await life.end()).toEqual({ code: 0, signal: null });
    },
  );
}

/** Has a command ask this DNS server, without the rest of the machine noticing. */
function asking(address: string): string[] {
  const file = join(tempDir(), "resolv.conf");
  writeFileSync(file, `nameserver ${address}\n`);
  const mount = 'mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec "$@"';
  return ["unshare", "--mount", "sh", "-c", mount, file];
}

function publish(first: number, topic: string, payload: string): Buffer {
  const body = Buffer.concat([
    Buffer.of(topic.length >> 8, topic.length & 0xff),
    Buffer.from(topic),
    Buffer.from(payload),
  ]);
  const lengthBytes: number[] = [];
  for (let rest = body.length; rest > 0 || lengthBytes.length === 0; rest >>= 7) {
    lengthBytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
  }
  return Buffer.concat([Buffer.of(first, ...lengthBytes), body]);
}
