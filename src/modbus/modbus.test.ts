import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { startChild } from "../../test/helpers/child.ts";
import { freeTcpPort } from "../../test/helpers/free-tcp-port.ts";
import { tempDir } from "../../test/helpers/temp-dir.ts";
import { until } from "../../test/helpers/until.ts";
import type { ModbusConfig } from "../config/index.ts";
import { SCHEMA } from "../config/index.ts";
import { createLog } from "../log/index.ts";
import {
  type Bus,
  type Message,
  type MessageHandler,
  type TopicFilter,
  topic,
} from "../mqtt/index.ts";
import { createSerial } from "../serial/index.ts";
import { systemClock } from "../time/index.ts";
import { crc16 } from "./crc.ts";
import { createModbus, type Modbus } from "./index.ts";
import { lineConfig } from "./modbus.testing.ts";
import { frameOf } from "./rtu.ts";

class Desk implements Bus {
  readonly told: { readonly topic: string; readonly body: Record<string, unknown> }[] = [];
  readonly #handlers = new Map<TopicFilter, MessageHandler>();

  async publish(message: Message): Promise<void> {
    this.told.push({ topic: message.topic, body: JSON.parse(message.payload.toString()) });
  }

  subscribe(filter: TopicFilter, handler: MessageHandler): () => void {
    this.#handlers.set(filter, handler);
    return () => this.#handlers.delete(filter);
  }

  command(name: string, payload: string): void {
    const origin = { kind: "api", clientId: "test" } as const;
    const message = {
      topic: topic(name),
      payload: Buffer.from(payload),
      qos: 1,
      retain: false,
      origin,
    } as const;
    for (const [filter, handler] of this.#handlers) if (filter === name) void handler(message);
  }

  on(name: string): Record<string, unknown>[] {
    return this.told.filter((told) => told.topic === name).map(({ body }) => body);
  }
}

const log = createLog({ level: "fatal" });
const stamp = () => ({ ts: 1 });

async function startLine(
  cfg: ModbusConfig,
  line: Parameters<typeof createModbus>[0]["line"] = () => null,
): Promise<{ modbus: Modbus; desk: Desk }> {
  const desk = new Desk();
  const modbus = createModbus({ log, clock: systemClock, bus: desk, line, stamp }, { line: cfg });
  onTestFinished(() => modbus.stop());
  await modbus.start();
  return { modbus, desk };
}

let program = "";
let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tidegate-modbus-"));
  program = join(folder, "slave");
  const source = join(import.meta.dirname, "../../test/helpers/modbus-slave.c");
  execFileSync("cc", ["-O1", "-o", program, source, "-lmodbus"]);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Two groups that show every area. */
const MAP = {
  name: "meter",
  unit: 7,
  groups: [
    {
      name: "fast",
      period_s: 0.05,
      tags: [
        { name: "power", address: 3, unit: "kW", scale: 0.1, writable: true },
        { name: "energy", address: 10, type: "u32" },
        { name: "level", address: 5, area: "input_register" },
      ],
    },
    {
      name: "slow",
      period_s: 0.2,
      publish: "period",
      tags: [
        { name: "relay", address: 3, area: "coil", type: "bool", writable: true },
        { name: "door", address: 1, area: "discrete_input", type: "bool" },
      ],
    },
  ],
} as const;

describe("with a slave of libmodbus", () => {
  async function overTcp() {
    const tcpPort = await freeTcpPort();
    const slave = startChild(program, ["tcp", String(tcpPort)]);
    await slave.waitForOutput(/ready/);
    return startLine(
      lineConfig({
        host: "127.0.0.1",
        tcp_port: tcpPort,
        form: "both",
        command_topic: "cmd",
        slaves: [MAP],
      }),
    );
  }

  async function overSerial() {
    const [ours, theirs] = [join(tempDir(), "ours"), join(tempDir(), "theirs")];
    const pair = startChild("socat", [
      ...["-d", "-d"],
      `PTY,raw,echo=0,link=${ours}`,
      `PTY,raw,echo=0,link=${theirs}`,
    ]);
    await pair.waitForOutput(/starting data transfer loop/);
    const slave = startChild(program, ["rtu", theirs, "7"]);
    await slave.waitForOutput(/ready/);
    const ports = SCHEMA.serial.format.complete({
      bus: { device: ours, baud_rate: 19_200, use: "modbus" } as never,
    });
    const serial = createSerial({ log, clock: systemClock, bus: new Desk(), stamp }, ports);
    onTestFinished(() => serial.stop());
    await serial.start();
    const cfg = lineConfig({ port: "bus", form: "both", command_topic: "cmd", slaves: [MAP] });
    return startLine(cfg, (name) => serial.line(name));
  }

  it.each([
    ["TCP", overTcp],
    ["a serial line", overSerial],
  ])("polls all areas over %s, publishes them, and writes on command", async (_, start) => {
    const { modbus, desk } = await start();
    const values = await until("both groups", () => {
      const [fast] = desk.on("modbus/line/meter/fast");
      const [slow] = desk.on("modbus/line/meter/slow");
      return fast !== undefined && slow !== undefined && { fast, slow };
    });
    expect(values.fast).toMatchObject({
      ts: 1,
      slave: "meter",
      group: "fast",
      values: {
        power: { value: 0.3, unit: "kW", quality: "good" },
        energy: { value: 10 * 65_536 + 11, quality: "good" },
        level: { value: 1005, quality: "good" },
      },
    });
    expect(values.slow).toMatchObject({
      values: { relay: { value: true }, door: { value: false } },
    });
    expect(desk.on("modbus/line/meter/power")[0]).toMatchObject({ value: 0.3, quality: "good" });

    desk.command("cmd", '{"id": 1, "slave": "meter", "tag": "power", "value": 12.5}');
    desk.command("cmd", '{"id": "b", "slave": "meter", "tag": "relay", "value": false}');
    desk.command("cmd", '{"id": 3, "slave": "meter", "tag": "door", "value": true}');
    desk.command("cmd", "nonsense");
    await until("four results", () => desk.on("cmd/result").length === 4);
    expect(desk.on("cmd/result")).toEqual(
      expect.arrayContaining([
        { ts: 1, id: 1, slave: "meter", tag: "power", ok: true },
        { ts: 1, id: "b", slave: "meter", tag: "relay", ok: true },
        { ts: 1, id: 3, slave: "meter", tag: "door", ok: false, error: "door is not writable" },
        { ts: 1, id: null, ok: false, error: "the command is not JSON" },
      ]),
    );
    // By change: only what has changed.
    const news = await until("the change", () =>
      desk.on("modbus/line/meter/fast").find(({ values: told }) => !("level" in Object(told))),
    );
    expect(news["values"]).toEqual({
      power: { value: 12.5, quality: "good", age_ms: expect.any(Number), unit: "kW" },
    });
    expect(modbus.status()[0]).toMatchObject({
      written: 2,
      refused: 2,
      slaves: [{ name: "meter", state: "good", timeouts: 0, garbled: 0 }],
    });
  });

  it("tells an address the slave does not have as that, and goes on with the others", async () => {
    const tcpPort = await freeTcpPort();
    await startChild(program, ["tcp", String(tcpPort)]).waitForOutput(/ready/);
    const { modbus, desk } = await startLine(
      lineConfig({
        host: "127.0.0.1",
        tcp_port: tcpPort,
        slaves: [
          {
            name: "s",
            groups: [
              {
                name: "g",
                tags: [
                  { name: "none", address: 5000 },
                  { name: "one", address: 1 },
                ],
              },
            ],
          },
        ],
      }),
    );
    const told = await until("the group", () => desk.on("modbus/line/s/g")[0]);
    expect(told["values"]).toMatchObject({
      none: { value: null, quality: "bad", error: "exception 2: illegal data address" },
      one: { value: 1, quality: "good" },
    });
    expect(modbus.status()[0]?.slaves[0]).toMatchObject({ state: "good", exceptions: 1 });
  });
});

/** A line on which a test answers: `answer` gets each request and returns the bytes that come back. */
function scripted(answer: (request: Buffer) => Buffer | null) {
  const requests: Buffer[] = [];
  return {
    requests,
    line: () => ({
      isOpen: true,
      baudRate: 115_200,
      async send(request: Buffer, onData: (chunk: Buffer) => void) {
        requests.push(request);
        const bytes = answer(request);
        // A byte at a time, as slow lines bring them.
        if (bytes !== null) for (const byte of bytes) onData(Buffer.of(byte));
      },
      release() {},
    }),
  };
}

const GOOD = (request: Buffer) => frameOf(request[0] ?? 0, Buffer.from([3, 2, 0, 42]));

function oneTag(name: string, unit: number, more: object = {}) {
  return {
    ...{ name, unit, timeout_ms: 100, retries: 0, ...more },
    groups: [{ name: "g", period_s: 0.02, publish: "period", tags: [{ name: "t" }] }],
  } as const;
}

describe("on a serial line", () => {
  it("computes the CRC of the specification's example (MODBUS over Serial Line 1.02 §6.2.2)", () => {
    const frame = Buffer.from("0207", "hex");
    expect(crc16(frame)).toBe(0x1241);
    expect(frameOf(2, Buffer.of(7)).toString("hex")).toBe("02074112");
  });

  it("finds the answer among noise and the late answers of others", async () => {
    const noise = Buffer.from("00ff0103", "hex");
    const late = frameOf(9, Buffer.from([3, 2, 0, 1]));
    const { line } = scripted((request) => Buffer.concat([noise, late, GOOD(request)]));
    const cfg = lineConfig({ port: "p", slaves: [oneTag("s", 1)] });
    const { desk } = await startLine(cfg, line);
    const told = await until("the value", () => desk.on("modbus/line/s/g")[0]);
    expect(told["values"]).toMatchObject({ t: { value: 42, quality: "good" } });
  });

  it("counts an answer with a wrong CRC, and asks again", async () => {
    let count = 0;
    const { line } = scripted((request) => {
      const bytes = GOOD(request);
      if (count++ === 0) bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      return bytes;
    });
    const cfg = lineConfig({ port: "p", slaves: [oneTag("s", 1, { retries: 1 })] });
    const { modbus, desk } = await startLine(cfg, line);
    await until("the value", () => desk.on("modbus/line/s/g").length > 0);
    expect(modbus.status()[0]?.slaves[0]).toMatchObject({ state: "good", garbled: 1 });
    expect(desk.on("modbus/line/s/g")[0]?.["values"]).toMatchObject({ t: { quality: "good" } });
  });

  it("does not let a silent slave delay the others beyond its timeout, and has it back", async () => {
    let isSilent = true;
    const { line } = scripted((request) => (request[0] === 1 && isSilent ? null : GOOD(request)));
    const cfg = lineConfig({
      port: "p",
      slaves: [oneTag("dead", 1, { away_retry_s: 1 }), oneTag("alive", 2)],
    });
    const { modbus, desk } = await startLine(cfg, line);
    const at: number[] = [];
    await until("a second and a half of values", () => {
      const { length } = desk.on("modbus/line/alive/g");
      while (at.length < length) at.push(performance.now());
      return at.length > 1 && (at.at(-1) ?? 0) - (at[0] ?? 0) > 1500;
    });
    const [dead, alive] = modbus.status()[0]?.slaves ?? [];
    expect(dead).toMatchObject({ state: "away", lastError: "no answer within 100 ms" });
    // Once at the start and once a second, not at each of the 75 polls.
    expect(dead?.timeouts).toBeLessThanOrEqual(3);
    expect(alive?.state).toBe("good");
    expect(at.length).toBeGreaterThan(20);
    isSilent = false;
    await until("its return", () => modbus.status()[0]?.slaves[0]?.state === "good", 5000);
    const [first] = desk.on("modbus/line/dead/g");
    expect(first?.["values"]).toMatchObject({ t: { value: null, quality: "bad" } });
  });

  it("tells values of a slave that went silent as stale, with their age", async () => {
    let isSilent = false;
    const { line } = scripted((request) => (isSilent ? null : GOOD(request)));
    const { desk } = await startLine(lineConfig({ port: "p", slaves: [oneTag("s", 1)] }), line);
    await until("a value", () => desk.on("modbus/line/s/g").length > 0);
    isSilent = true;
    const stale = await until("stale values", () =>
      desk
        .on("modbus/line/s/g")
        .map(({ values }) => Object(values)["t"])
        .find(({ quality }) => quality === "stale"),
    );
    expect(stale).toMatchObject({ value: 42, error: "no answer within 100 ms" });
    expect(stale.age_ms).toBeGreaterThanOrEqual(100);
  });

  it("says what is wrong with the port", async () => {
    const cfg = lineConfig({ port: "gone", slaves: [oneTag("s", 1)] });
    const { modbus } = await startLine(cfg);
    await until("the state", () => modbus.status()[0]?.slaves[0]?.state === "away");
    expect(modbus.status()[0]?.slaves[0]?.lastError).toBe("there is no such serial port");
  });
});

describe("over TCP", () => {
  it.each([
    ["answers nothing", () => {}],
    ["closes", (socket: Socket) => socket.destroy()],
    ["speaks something else", (socket: Socket) => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n")],
    [
      "announces a long answer",
      (socket: Socket) => socket.write(Buffer.from("00010000ffff01", "hex")),
    ],
  ])("puts up with a server that %s, and connects again", async (_, behave) => {
    let connections = 0;
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      connections++;
      sockets.add(socket);
      socket.on("error", () => {});
      behave(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const address = server.address();
    const tcpPort = typeof address === "object" && address !== null ? address.port : 0;
    const { modbus } = await startLine(
      lineConfig({
        host: "127.0.0.1",
        tcp_port: tcpPort,
        slaves: [oneTag("s", 1, { away_retry_s: 1 })],
      }),
    );
    await until("two tries", () => (modbus.status()[0]?.slaves[0]?.requests ?? 0) >= 2, 5000);
    expect(modbus.status()[0]?.slaves[0]?.state).toBe("away");
    expect(connections).toBeGreaterThanOrEqual(1);
  });
});
