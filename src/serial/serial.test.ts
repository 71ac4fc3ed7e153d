import { open } from "node:fs/promises";
import { SerialPort } from "serialport";
import { describe, expect, it, onTestFinished } from "vitest";
import { PseudoDevice } from "../../test/helpers/pseudo-device.ts";
import { until } from "../../test/helpers/until.ts";
import type { SerialPortConfig } from "../config/index.ts";
import { SCHEMA } from "../config/index.ts";
import { createLog } from "../log/index.ts";
import {
  type Bus,
  type Message,
  type MessageHandler,
  type QoS,
  type TopicFilter,
  topic,
} from "../mqtt/index.ts";
import { systemClock } from "../time/index.ts";
import { createSerial, type Serial, type SerialConfig, type SerialPortStatus } from "./index.ts";

/** Keeps what is published; a handler hears what the test sends to its topic. */
class Desk implements Bus {
  readonly messages: Message[] = [];
  readonly #handlers = new Map<TopicFilter, MessageHandler>();
  safe: Promise<void> = Promise.resolve();

  async publish(message: Message): Promise<void> {
    this.messages.push(message);
    await this.safe;
  }

  subscribe(filter: TopicFilter, handler: MessageHandler): () => void {
    this.#handlers.set(filter, handler);
    return () => this.#handlers.delete(filter);
  }

  get texts(): string[] {
    return this.messages.map(({ payload }) => payload.toString());
  }

  send(name: string, payload: string, qos: QoS = 1): void {
    const origin = { kind: "api", clientId: "test" } as const;
    const message = {
      topic: topic(name),
      payload: Buffer.from(payload),
      qos,
      retain: false,
      origin,
    };
    for (const [filter, handler] of this.#handlers) if (filter === name) void handler(message);
  }
}

function portConfig(
  more: Partial<Omit<SerialPortConfig, "framing">> & {
    framing?: Partial<SerialPortConfig["framing"]>;
  },
): SerialPortConfig {
  const [complete] = Object.values(SCHEMA.serial.format.complete({ p: more as SerialPortConfig }));
  if (complete === undefined) throw new Error("no port");
  return complete;
}

async function start(cfg: SerialConfig): Promise<{ serial: Serial; desk: Desk }> {
  const desk = new Desk();
  const serial = createSerial(
    {
      log: createLog({ level: "fatal" }),
      clock: systemClock,
      bus: desk,
      stamp: () => ({ ts: 1_700_000_000_000 }),
    },
    cfg,
  );
  onTestFinished(() => serial.stop());
  await serial.start();
  return { serial, desk };
}

function statusOf(serial: Serial): SerialPortStatus {
  const [status] = serial.status();
  if (status === undefined) throw new Error("no port");
  return status;
}

const count = (status: SerialPortStatus, name: string): unknown => Reflect.get(status, name);

describe("a serial port", () => {
  it("publishes each line under its topic, and writes messages as lines", async () => {
    const device = await PseudoDevice.plugged();
    const { serial, desk } = await start({
      meter: portConfig({ device: device.path, down_topic: "meter/down" }),
    });
    device.say("21.5\r\n22");
    device.say(".0\n");
    await until("two lines", () => desk.messages.length === 2);
    expect(desk.texts).toEqual(["21.5", "22.0"]);
    expect(desk.messages[0]).toMatchObject({ topic: "serial/meter/up", qos: 1, retain: false });
    desk.send("meter/down", "relay on");
    await until("the command", () => device.received.toString() === "relay on\n");
    expect(statusOf(serial)).toMatchObject({
      name: "meter",
      state: "open",
      framesIn: 2,
      framesOut: 1,
      bytesIn: 11,
      bytesOut: 9,
    });
  });

  it.each([
    ["raw", "ÿ"],
    ["hex", "c3bf"],
    ["base64", "w78="],
    ["json", '{"ts":1700000000000,"port":"p","seq":0,"data":"w78="}'],
  ] as const)("tells a frame as %s, and takes the same form back", async (form, text) => {
    const device = await PseudoDevice.plugged();
    const { desk } = await start({
      p: portConfig({
        device: device.path,
        payload: form,
        down_payload: form,
        down_topic: "down",
      }),
    });
    device.say("ÿ\n");
    await until("the frame", () => desk.messages.length === 1);
    expect(desk.texts).toEqual([text]);
    desk.send("down", text);
    await until("the frame back", () => device.received.toString() === "ÿ\n");
  });

  it("refuses and counts what it cannot write", async () => {
    const device = await PseudoDevice.plugged();
    const { serial, desk } = await start({
      p: portConfig({ device: device.path, down_payload: "hex", down_topic: "down" }),
    });
    desk.send("down", "no hex");
    desk.send("down", "41".repeat(5000));
    desk.send("down", "0a");
    desk.send("down", "42");
    await until("the good one", () => device.received.toString() === "B\n");
    expect(count(statusOf(serial), "refused")).toBe(3);
  });

  it("stops reading while the broker cannot make frames safe, and loses none", async () => {
    const device = await PseudoDevice.plugged();
    const { desk } = await start({ p: portConfig({ device: device.path }) });
    const { promise, resolve } = Promise.withResolvers<void>();
    desk.safe = promise;
    const lines = Array.from({ length: 5000 }, (_, n) => `line ${n}`);
    device.say(`${lines.join("\n")}\n`);
    await until("the bound", () => desk.messages.length >= 256);
    // What one read brought is still published; then nothing more comes.
    expect(desk.messages.length).toBeLessThan(256 + 65_536 / 7);
    resolve();
    await until("all lines", () => desk.messages.length === 5000);
    expect(desk.texts).toEqual(lines);
  });

  it("ends a frame by silence", async () => {
    const device = await PseudoDevice.plugged();
    const { desk } = await start({
      p: portConfig({ device: device.path, framing: { type: "idle", idle_ms: 40 } }),
    });
    device.say("first");
    await until("the first frame", () => desk.texts.includes("first"));
    device.say("second");
    await until("the second frame", () => desk.texts.includes("second"));
    expect(desk.texts).toEqual(["first", "second"]);
  });

  it("says that another process has the port, and takes it once it is free", async () => {
    const device = await PseudoDevice.plugged();
    const other = new SerialPort({
      path: device.path,
      baudRate: 9600,
      autoOpen: false,
      lock: true,
    });
    await new Promise<void>((resolve, reject) =>
      other.open((err) => (err === null ? resolve() : reject(err))),
    );
    const { serial } = await start({ p: portConfig({ device: device.path }) });
    expect(statusOf(serial)).toMatchObject({
      state: "failed",
      lastError: `${device.path} is in use by another process`,
    });
    await new Promise<void>((resolve) => other.close(() => resolve()));
    await until("the port", () => statusOf(serial).state === "open", 5000);
  });

  it("says what is no serial port", async () => {
    const file = await PseudoDevice.plugged();
    await file.unplug();
    const handle = await open(`${file.path}.txt`, "w");
    await handle.close();
    const { serial } = await start({ p: portConfig({ device: `${file.path}.txt` }) });
    expect(statusOf(serial).state).toBe("failed");
    expect(statusOf(serial).lastError).toContain("is no serial port");
  });

  it("comes back under its name within 5 s of each re-plug, and counts what was cut", async () => {
    const device = await PseudoDevice.plugged();
    const { serial, desk } = await start({ p: portConfig({ device: device.path }) });
    for (let cycle = 1; cycle <= 3; cycle++) {
      device.say("half a li");
      await until("the half", () => statusOf(serial).bytesIn >= 9 * cycle + 6 * (cycle - 1));
      await device.unplug();
      await until("its going", () => statusOf(serial).state === "away", 5000);
      await device.plug();
      await until("its return", () => statusOf(serial).state === "open", 5000);
      device.say(`back ${cycle}`.slice(0, 5));
      device.say("\n");
      await until("a line", () => desk.messages.length === cycle, 5000);
    }
    expect(desk.texts).toEqual(["back ", "back ", "back "]);
    expect(statusOf(serial).opens).toBe(4);
    expect(count(statusOf(serial), "discardedBytes")).toMatchObject({ incomplete: 27 });
  });

  it("changes one port while the others go on", async () => {
    const [a, b] = [await PseudoDevice.plugged("ttyA"), await PseudoDevice.plugged("ttyB")];
    const kept = portConfig({ device: a.path });
    const { serial, desk } = await start({ a: kept, b: portConfig({ device: b.path }) });
    await serial.reconfigure({ a: kept, b: portConfig({ device: b.path, topic: "new/topic" }) });
    a.say("a\n");
    b.say("b\n");
    await until("both lines", () => desk.messages.length === 2);
    expect(desk.messages.map((message) => message.topic).sort()).toEqual([
      "new/topic",
      "serial/a/up",
    ]);
    expect(serial.status().map(({ name, opens }) => [name, opens])).toEqual([
      ["a", 1],
      ["b", 1],
    ]);
    await serial.reconfigure({});
    expect(serial.status()).toEqual([]);
  });
});
