import { realpath } from "node:fs/promises";
import type { SerialPort } from "serialport";
import type { SerialPortConfig } from "../config/index.ts";
import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Clock, Timer } from "../time/index.ts";

/** disabled: not to be opened. away: the device is not there. failed: it is, and cannot be used. */
export type LineState = "disabled" | "away" | "failed" | "open";

/** How a line stands, and what went over it since the start. */
export interface LineStatus {
  readonly state: LineState;
  /** In words; null while all is well. */
  readonly lastError: string | null;
  /** Wall clock, ms. */
  readonly sinceMs: number;
  /** The device the configured path leads to, while open. */
  readonly device: string | null;
  /** How often it was opened: one more than it was lost. */
  readonly opens: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** Who uses a line. */
export interface LineUser {
  onData(chunk: Buffer): void;
  onOpen(): void;
  /** The device is gone or the line was closed; half a frame is not completed any more. */
  onClosed(): void;
}

/** A device that is away is looked for this often, one that cannot be opened is tried this often. */
const RETRY_MS = 1000;
/**
 * An open device is asked for its speed this often: serialport (13.0.0) reads a terminal that was hung
 * up without end, at full speed, and often does not say that it is gone.
 */
const WATCH_MS = 1000;
/** A write the line has not taken for this long is given up: the other side holds it up. */
const WRITE_TIMEOUT_MS = 10_000;

/** The line was not open, or did not take the bytes. */
class LineUnusable extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = "LineUnusable";
  }
}

/**
 * One serial device, opened whenever it is there: a device that was unplugged is used again within
 * seconds of its return, whatever number the system gives it, as long as the configured path leads
 * to it. It is held exclusively.
 */
export class SerialLine {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #user: LineUser;
  readonly #name: string;
  readonly #cfg: SerialPortConfig;
  #port: SerialPort | null = null;
  #retry: Timer | null = null;
  #watch: Timer | null = null;
  #isWanted = false;
  /** Ends what a stop has overtaken. */
  #generation = 0;
  #state: LineState = "disabled";
  #lastError: string | null = null;
  #sinceMs: number;
  #device: string | null = null;
  #opens = 0;
  #bytesIn = 0;
  #bytesOut = 0;

  constructor(
    deps: { log: Log; clock: Clock; user: LineUser },
    name: string,
    cfg: SerialPortConfig,
  ) {
    this.#name = name;
    this.#log = deps.log;
    this.#clock = deps.clock;
    this.#user = deps.user;
    this.#cfg = cfg;
    this.#sinceMs = deps.clock.nowMs();
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Looks for the device from now on; resolves after the first attempt. */
  async start(): Promise<void> {
    if (!this.#cfg.enable || this.#isWanted) return;
    this.#isWanted = true;
    await this.#open(this.#generation);
  }

  async stop(): Promise<void> {
    this.#isWanted = false;
    this.#generation += 1;
    this.#retry?.cancel();
    this.#retry = null;
    this.#watch?.cancel();
    const port = this.#port;
    this.#port = null;
    this.#become("disabled", null);
    if (port === null) return;
    this.#user.onClosed();
    await new Promise<void>((resolve) => port.close(() => resolve()));
  }

  /** Stops and resumes reading: what comes meanwhile waits in the system, as far as it has room. */
  pause(): void {
    this.#port?.pause();
  }

  resume(): void {
    this.#port?.resume();
  }

  /**
   * Resolves when the bytes have been given to the device, with rs485 when they have been sent.
   * Callers wait for one write before they start the next.
   * @throws LineUnusable when the line is not open, is lost meanwhile, or takes nothing for 10 s (rejects)
   */
  async write(bytes: Buffer): Promise<void> {
    const port = this.#port;
    if (port === null) throw new LineUnusable(this.#lastError ?? "the port is not open");
    const { rs485 } = this.#cfg;
    if (rs485 !== "off") await this.#direct(port, rs485 === "rts_high");
    try {
      await this.#within((done) => port.write(bytes, done));
      if (rs485 !== "off") await this.#within((done) => port.drain(done));
    } finally {
      if (rs485 !== "off" && this.#port === port) await this.#direct(port, rs485 !== "rts_high");
    }
    this.#bytesOut += bytes.length;
  }

  status(): LineStatus {
    return {
      state: this.#state,
      lastError: this.#lastError,
      sinceMs: this.#sinceMs,
      device: this.#device,
      opens: this.#opens,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
    };
  }

  async #open(generation: number): Promise<void> {
    const path = this.#cfg.device ?? "";
    let device: string;
    try {
      device = await realpath(path);
    } catch {
      if (generation === this.#generation) this.#tryAgain("away", `${path} is not there`);
      return;
    }
    if (generation !== this.#generation) return;
    const port = await this.#portAt(device);
    if (generation !== this.#generation) return;
    const fault = await new Promise<Error | null>((resolve) => port.open(resolve));
    if (generation !== this.#generation) {
      if (fault === null) port.close();
      return;
    }
    if (fault !== null) {
      this.#tryAgain("failed", wordsFor(path, fault));
      return;
    }
    this.#port = port;
    this.#device = device;
    this.#opens += 1;
    port.on("close", () => this.#lost(port));
    port.on("error", (err: unknown) =>
      this.#log.debug({ port: this.#name, err: reasonOf(err) }, "serial port reports an error"),
    );
    if (this.#cfg.rs485 !== "off") {
      const isHigh = this.#cfg.rs485 !== "rts_high";
      await this.#direct(port, isHigh).catch((err: unknown) => {
        this.#log.warn(
          { port: this.#name, err: reasonOf(err) },
          "RTS cannot be set: sending will fail",
        );
      });
      if (this.#port !== port) return;
    }
    this.#become("open", null);
    this.#watch = this.#clock.every(WATCH_MS, () => this.#look(port));
    this.#user.onOpen();
    port.on("data", (chunk: Buffer) => {
      this.#bytesIn += chunk.length;
      this.#user.onData(chunk);
    });
  }

  async #portAt(device: string): Promise<SerialPort> {
    // Its native part is loaded by gateways that have a port, not by all.
    const { SerialPort } = await import("serialport");
    const { baud_rate, data_bits, stop_bits, parity, flow_control } = this.#cfg;
    return new SerialPort({
      path: device,
      autoOpen: false,
      // Nobody else may open it meanwhile (TIOCEXCL and flock).
      lock: true,
      baudRate: baud_rate,
      dataBits: data_bits,
      stopBits: stop_bits,
      parity,
      rtscts: flow_control === "rts_cts",
      xon: flow_control === "xon_xoff",
      xoff: flow_control === "xon_xoff",
    });
  }

  /** Any question to a terminal that was hung up fails. */
  #look(port: SerialPort): void {
    port.port?.getBaudRate().catch(() => {
      if (this.#port === port && port.isOpen) port.close(() => {});
    });
  }

  #lost(port: SerialPort): void {
    if (this.#port !== port) return;
    this.#port = null;
    this.#watch?.cancel();
    this.#user.onClosed();
    this.#tryAgain("away", `${this.#cfg.device ?? ""} was unplugged`);
  }

  #tryAgain(state: "away" | "failed", reason: string): void {
    this.#become(state, reason);
    if (!this.#isWanted) return;
    const generation = this.#generation;
    this.#retry = this.#clock.after(RETRY_MS, () => void this.#open(generation));
  }

  #become(state: LineState, reason: string | null): void {
    if (state !== "open") this.#device = null;
    if (this.#state === state && this.#lastError === reason) return;
    this.#state = state;
    this.#lastError = reason;
    this.#sinceMs = this.#clock.nowMs();
    if (state === "open") {
      this.#log.info({ port: this.#name, device: this.#device }, "serial port open");
    } else if (state !== "disabled") {
      this.#log.warn({ port: this.#name, reason }, "serial port not usable, tried every second");
    }
  }

  #direct(port: SerialPort, isHigh: boolean): Promise<void> {
    return this.#within((done) => port.set({ rts: isHigh }, done));
  }

  #within(work: (done: (err?: Error | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(WRITE_TIMEOUT_MS, () =>
        reject(new LineUnusable(`the line took nothing for ${WRITE_TIMEOUT_MS / 1000} s`)),
      );
      work((err) => {
        timer.cancel();
        if (err instanceof Error) reject(new LineUnusable(reasonOf(err)));
        else resolve();
      });
    });
  }
}

/** What an error of open(2) or of the lock means for the person who reads it. */
function wordsFor(path: string, fault: Error): string {
  const { message } = fault;
  if (/cannot lock|temporarily unavailable|busy/i.test(message)) {
    return `${path} is in use by another process`;
  }
  if (/permission denied/i.test(message)) {
    return `${path} may not be opened: the service's user needs the group dialout`;
  }
  if (/inappropriate ioctl|not a tty|invalid argument/i.test(message)) {
    return `${path} is no serial port, or does not know these settings (${message})`;
  }
  return `${path}: ${message}`;
}
