import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freeTcpPort } from "../helpers/free-tcp-port.ts";
import { until } from "../helpers/until.ts";
import type { Card } from "./card.ts";
import { Monitor } from "./monitor.ts";
import type { Stick } from "./stick.ts";
import { SHELL_TCP_PORT, shellCredentials } from "./test-shell.ts";

const BOOT_IMAGE = fileURLToPath(new URL("../../scripts/boot-image", import.meta.url));

/** What of the guest is reachable on this machine's loopback. */
const GUEST_PORTS = {
  mqtt: 1883,
  mqtts: 8883,
  http: 8081,
  https: 18_084,
  shell: SHELL_TCP_PORT,
} as const;
export type GuestPort = keyof typeof GUEST_PORTS;

/** Lines of the console in a failure's message. */
const TAIL_LINES = 40;

const ESCAPE = new RegExp(`${String.fromCharCode(27)}\\[[0-9;?]*[A-Za-z]`, "g");

/** Between two looks at the guest. */
const LOOK_EVERY_MS = 250;

export interface MachineOptions {
  readonly card: Card;
  /** For sockets; its path must be short (unix(7): 107 bytes). */
  readonly folder: string;
  /** Gets everything the guest prints on its serial console. */
  readonly consoleFile: string;
  /** What its clock shows at the start, where it is not this machine's time. */
  readonly clock?: Date;
}

/** A running QEMU with a card, started by scripts/boot-image as everybody starts it. */
export class Machine {
  readonly ports: Readonly<Record<GuestPort, number>>;
  readonly startedMs = performance.now();
  readonly #process: ChildProcess;
  readonly #consoleFile: string;
  readonly #serialPath: string;
  readonly #exited: Promise<void>;
  #monitor: Monitor | null = null;
  #errors = "";
  #end: string | null = null;

  private constructor(options: MachineOptions, ports: Readonly<Record<GuestPort, number>>) {
    this.ports = ports;
    this.#consoleFile = options.consoleFile;
    this.#serialPath = join(options.folder, "serial");
    const monitorPath = join(options.folder, "monitor");
    const forwards = Object.entries(GUEST_PORTS).flatMap(([name, guestPort]) => [
      "--forward",
      `${ports[name as GuestPort]}:${guestPort}`,
    ]);
    // The kernel ends QEMU when the tests are killed without a chance to do so themselves.
    this.#process = spawn(
      "setpriv",
      [
        ...["--pdeathsig", "KILL", "--", BOOT_IMAGE, "--disk", options.card.file],
        ...["--console", options.consoleFile, "--isolated", ...forwards, "--"],
        ...["-qmp", `unix:${monitorPath},server=on,wait=off`],
        ...shellCredentials().flatMap(({ name, text }) => [
          "-fw_cfg",
          `name=${name},string=${text}`,
        ]),
        ...(options.clock === undefined
          ? []
          : ["-rtc", `base=${options.clock.toISOString().slice(0, 19)}`]),
        // An FTDI adapter, plugged in as long as somebody is connected to the socket.
        ...["-device", "qemu-xhci,id=usb"],
        ...["-chardev", `socket,id=line,path=${this.#serialPath},server=on,wait=off`],
        ...["-device", "usb-serial,bus=usb.0,chardev=line,serial=SCALE"],
      ],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    const note = (chunk: Buffer) => {
      this.#errors += chunk.toString();
    };
    this.#process.stdout?.on("data", note);
    this.#process.stderr?.on("data", note);
    this.#exited = new Promise((resolve) => {
      this.#process.once("error", (err) => {
        this.#end ??= String(err);
        resolve();
      });
      this.#process.once("close", (code, signal) => {
        this.#end ??= `QEMU ended with ${signal ?? code}`;
        resolve();
      });
    });
  }

  static async start(options: MachineOptions): Promise<Machine> {
    const ports = {
      mqtt: await freeTcpPort(),
      mqtts: await freeTcpPort(),
      http: await freeTcpPort(),
      https: await freeTcpPort(),
      shell: await freeTcpPort(),
    };
    const machine = new Machine(options, ports);
    const opening = Monitor.open(join(options.folder, "monitor"));
    await machine.wait("QEMU's monitor", async () => {
      machine.#monitor = await Promise.race([opening, machine.#exited.then(() => null)]);
      return machine.#monitor !== null;
    });
    return machine;
  }

  get isRunning(): boolean {
    return this.#end === null;
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Seconds since the power was switched on. */
  get ageS(): number {
    return (performance.now() - this.startedMs) / 1000;
  }

  console(): string {
    // Bytes of a cut off line may be anything.
    return existsSync(this.#consoleFile) ? readFileSync(this.#consoleFile, "latin1") : "";
  }

  /**
   * Waits until `look` returns something other than undefined or false, and returns it. Rejects at
   * once when QEMU is gone, and after `deadlineMs`; either says what was on the console last.
   */
  async wait<T>(
    what: string,
    look: () => Promise<T | undefined | false> | T | undefined | false,
    deadlineMs = 60_000,
  ): Promise<T> {
    let nextMs = 0;
    try {
      return await until(
        what,
        async () => {
          if (this.#end !== null) throw new Error(`${this.#end} before ${what}`);
          if (performance.now() < nextMs) return undefined;
          const found = await look();
          nextMs = performance.now() + LOOK_EVERY_MS;
          return found;
        },
        deadlineMs,
      );
    } catch (err) {
      throw new Error(`${String(err)}\n${this.#circumstances()}`, { cause: err });
    }
  }

  /** Waits for a line on the console, from offset `from` on. */
  waitForConsole(pattern: RegExp, options: { from?: number; deadlineMs: number }) {
    return this.wait(
      `${pattern} on the console`,
      () => pattern.exec(this.console().slice(options.from ?? 0)) ?? undefined,
      options.deadlineMs,
    );
  }

  /** Pulls the plug: what the guest had not given to its disk is gone. */
  async cut(): Promise<void> {
    this.#end ??= "the power was cut";
    this.#process.kill("SIGKILL");
    await this.#exited;
    this.#monitor?.close();
  }

  /** Bytes the guest has written to the card since the power was switched on. */
  async writtenBytes(): Promise<number> {
    const stats = await this.#monitor?.run("query-blockstats");
    if (!Array.isArray(stats)) throw new Error(`no block statistics: ${JSON.stringify(stats)}`);
    const written = stats.map((each) => Number(each?.stats?.wr_bytes ?? 0));
    return written.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Plugs the serial adapter in; it is unplugged when the socket is destroyed. */
  async plugSerial(): Promise<Socket> {
    const socket = connect(this.#serialPath);
    await new Promise((resolve, reject) => {
      socket.once("connect", resolve).once("error", reject);
    });
    socket.on("error", () => {});
    return socket;
  }

  /** Plugs a USB stick in. */
  async plugStick({ id, file }: Stick): Promise<void> {
    const opened = { driver: "raw", "node-name": id, file: { driver: "file", filename: file } };
    await this.#monitor?.run("blockdev-add", opened);
    const stick = { driver: "usb-storage", bus: "usb.0", id, drive: id, removable: true };
    await this.#monitor?.run("device_add", stick);
  }

  /** Pulls a USB stick out, whatever is under way. */
  async pullStick({ id }: Stick): Promise<void> {
    await this.#monitor?.run("device_del", { id });
    // It can be removed once nothing in QEMU reads it any more.
    await this.wait("the stick to be out", () =>
      this.#monitor?.run("blockdev-del", { "node-name": id }).then(
        () => true,
        () => false,
      ),
    );
  }

  #circumstances(): string {
    const lines = this.console()
      // Colours, and the lines with which systemd shows that something takes long.
      .replace(ESCAPE, "")
      .split(/\r?\n/)
      .filter((line) => line.trim() !== "" && !line.includes(" Job "))
      .slice(-TAIL_LINES);
    return [`console (${this.#consoleFile}), newest lines:`, ...lines, this.#errors].join("\n");
  }
}
