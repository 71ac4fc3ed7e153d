/**
 * What serial devices and Modbus cost: each framing alone, four ports at 115,200 baud, and the
 * regularity of polls while one of ten slaves is silent.
 *
 * Usage: node test/bench/serial.ts
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Config, SCHEMA } from "../../src/config/index.ts";
import { createLog } from "../../src/log/index.ts";
import { createModbus } from "../../src/modbus/index.ts";
import { frameOf } from "../../src/modbus/rtu.ts";
import type { Bus, Message } from "../../src/mqtt/index.ts";
import { createFramer, encodeFrame, type FramingConfig } from "../../src/serial/framing/index.ts";
import { createSerial } from "../../src/serial/index.ts";
import { systemClock } from "../../src/time/index.ts";

const log = createLog({ level: "fatal" });
const CHUNK_BYTES = 4096;
const FRAMES = 10_000_000;

function cpuMs(since?: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
}

/** Frames of 32 bytes through each framing, in chunks as a port brings them. */
function measureFramings(): void {
  console.log(
    "| framing | frames/s | MB/s | heap after 10 million frames, growth |\n| --- | ---: | ---: | ---: |",
  );
  const base = SCHEMA.serial.format.complete({ p: { device: "/dev/null" } as never })["p"]?.framing;
  if (base === undefined) throw new Error("no port");
  for (const type of [
    "line",
    "delimiter",
    "fixed",
    "length_prefix",
    "slip",
    "cobs",
    "idle",
    "raw",
  ] as const) {
    const cfg: FramingConfig = { ...base, type, length_bytes: 32, delimiter_hex: "0d0a" };
    const payload = Buffer.from("temperature=21.5;humidity=40.0;;");
    const frame = encodeFrame(cfg, payload);
    const perChunk = Math.floor(CHUNK_BYTES / frame.length);
    const chunk = Buffer.concat(Array.from({ length: perChunk }, () => frame));
    let frames = 0;
    const framer = createFramer(cfg, { frame: () => frames++, discard() {} });
    const chunks = Math.ceil(FRAMES / perChunk);
    for (let n = 0; n < 1000; n++) framer.push(chunk);
    globalThis.gc?.();
    const before = process.memoryUsage().heapUsed;
    const start = process.cpuUsage();
    for (let n = 0; n < chunks; n++) framer.push(chunk);
    const seconds = cpuMs(start) / 1000;
    globalThis.gc?.();
    const growthKb = (process.memoryUsage().heapUsed - before) / 1024;
    const count =
      type === "idle" || type === "raw" ? "–" : Math.round(FRAMES / seconds).toLocaleString("en");
    const mb = ((chunks * chunk.length) / seconds / 1e6).toFixed(0);
    console.log(`| ${type} | ${count} | ${mb} | ${growthKb.toFixed(0)} kB |`);
  }
}

class Sink implements Bus {
  messages = 0;
  onMessage: (message: Message) => void = () => {};

  async publish(message: Message): Promise<void> {
    this.messages++;
    this.onMessage(message);
  }

  subscribe(): () => void {
    return () => {};
  }
}

/** Four pseudo terminals that each bring 11,520 bytes a second, in lines of 32. */
async function measurePorts(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no TCP port");
  const links = ["a", "b", "c", "d"].map((name) => join(folder, name));
  const pairs = links.map((link) =>
    spawn("socat", [`PTY,raw,echo=0,link=${link}`, `TCP:127.0.0.1:${address.port},nodelay`]),
  );
  while (sockets.length < links.length) await delay(20);
  const ports = Object.fromEntries(
    links.map((device, n) => [`p${n}`, { device, baud_rate: 115_200 }]),
  );
  const sink = new Sink();
  const serial = createSerial(
    { log, clock: systemClock, bus: sink, stamp: () => ({ ts: Date.now() }) },
    SCHEMA.serial.format.complete(ports as never),
  );
  await serial.start();
  const lines = "temperature=21.5;humidity=40.0;\n".repeat(9);
  const timer = setInterval(() => {
    for (const socket of sockets) socket.write(lines);
  }, 25);
  await delay(1000);
  const before = sink.messages;
  const start = process.cpuUsage();
  const startMs = performance.now();
  await delay(5000);
  const seconds = (performance.now() - startMs) / 1000;
  const share = cpuMs(start) / 1000 / seconds;
  clearInterval(timer);
  console.log(
    `\nfour ports at 115,200 baud: ${Math.round((sink.messages - before) / seconds)} frames/s, ${(share * 100).toFixed(1)} % of a core, the bench's own writing included`,
  );
  await serial.stop();
  for (const pair of pairs) pair.kill();
  for (const socket of sockets) socket.destroy();
  server.close();
  rmSync(folder, { recursive: true });
}

/** Ten slaves with 50 registers polled each second on a line of 19,200 baud, one of them dead. */
async function measurePolls(): Promise<void> {
  const sink = new Sink();
  const at = new Map<string, number[]>();
  sink.onMessage = ({ topic }) => {
    const times = at.get(topic) ?? [];
    times.push(performance.now());
    at.set(topic, times);
  };
  const answer = (unit: number) =>
    frameOf(unit, Buffer.concat([Buffer.of(3, 100), Buffer.alloc(100)]));
  const slaves = Array.from({ length: 10 }, (_, n) => ({
    name: `s${n}`,
    unit: n + 1,
    groups: [
      {
        name: "g",
        period_s: 1,
        publish: "period",
        tags: Array.from({ length: 50 }, (_, address) => ({ name: `t${address}`, address })),
      },
    ],
  }));
  const lines = SCHEMA.modbus.format.complete({
    line: { port: "p", slaves },
  } as never) as Config["modbus"];
  const line = {
    isOpen: true,
    baudRate: 19_200,
    async send(request: Buffer, onData: (chunk: Buffer) => void) {
      const unit = request[0] ?? 0;
      // 113 bytes of 11 bits at 19,200 baud.
      if (unit !== 10) setTimeout(() => onData(answer(unit)), 65);
    },
    release() {},
  };
  const modbus = createModbus(
    { log, clock: systemClock, bus: sink, line: () => line, stamp: () => ({ ts: Date.now() }) },
    lines,
  );
  await modbus.start();
  await delay(30_000);
  await modbus.stop();
  const gaps = [...at]
    .filter(([topic]) => !topic.includes("s9"))
    .flatMap(([, times]) => times.slice(2).map((time, n) => time - (times[n + 1] ?? 0)));
  const off = gaps.map((gap) => Math.abs(gap - 1000)).toSorted((a, b) => a - b);
  const p = (share: number) => (off[Math.floor((off.length - 1) * share)] ?? 0).toFixed(0);
  console.log(
    `\nten slaves with 50 registers each second, one dead (timeout 500 ms, asked each 10 s): ${gaps.length} polls of the nine, off their second by p50 ${p(0.5)} ms, p95 ${p(0.95)} ms, most ${p(1)} ms`,
  );
}

measureFramings();
await measurePorts();
await measurePolls();
