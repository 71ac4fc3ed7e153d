import { mkdirSync, mkdtempSync, openAsBlob, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { login } from "../helpers/http-v5.ts";
import type { Card } from "./card.ts";
import { Machine } from "./machine.ts";
import type { Stick } from "./stick.ts";
import { runInGuest } from "./test-shell.ts";

/**
 * From power on, or from a reboot, to an answer: 45 to 100 s where the emulator has two cores to
 * itself, minutes where it shares them.
 */
export const BOOT_DEADLINE_MS = 10 * 60_000;

/** From exit code 75 to an answer: Node starts in 8 to 30 s in the emulator. */
export const RESTART_DEADLINE_MS = 5 * 60_000;

/** 200 MB through the emulated network onto the emulated card. */
const UPLOAD_DEADLINE_MS = 5 * 60_000;

const ADMINISTRATOR = "admin";

/** `GET /status`, of which the tests look at these. */
export interface Status {
  readonly version: string;
  readonly uptimeS: number;
  readonly isRolledBack: boolean;
}

/** A board with its card, as its owner sees it: a plug, a network, a screen. */
export class Device {
  readonly card: Card;
  /** The administrator's, as the screen showed it. */
  password = "";
  readonly #folder: string;
  readonly #logFolder: string;
  readonly #sticks = new Set<Stick>();
  #machine: Machine | null = null;
  #why = "it was never switched on";
  #starts = 0;

  constructor(card: Card, logFolder: string) {
    this.card = card;
    this.#logFolder = logFolder;
    mkdirSync(logFolder, { recursive: true });
    this.#folder = mkdtempSync(join(tmpdir(), "tg-"));
  }

  /** The running machine. Without one, nothing further is waited for. */
  get machine(): Machine {
    if (this.#machine === null || !this.#machine.isRunning) {
      throw new Error(`the device is off: ${this.#why}`);
    }
    return this.#machine;
  }

  /** @param clock what its clock shows, where it is not this machine's time */
  async powerOn(name: string, clock?: Date): Promise<Machine> {
    if (this.#machine?.isRunning === true) throw new Error("the device is on already");
    this.#starts++;
    const number = String(this.#starts).padStart(2, "0");
    this.#why = `it could not be switched on for "${name}"`;
    this.#machine = await Machine.start({
      card: this.card,
      folder: mkdtempSync(join(this.#folder, "m")),
      consoleFile: join(this.#logFolder, `${number}-${name}.log`),
      ...(clock === undefined ? {} : { clock }),
    });
    this.#why = `QEMU ended by itself after "${name}"`;
    for (const stick of this.#sticks) await this.#machine.plugStick(stick);
    return this.#machine;
  }

  /** Plugs a USB stick in, where it stays until it is pulled out, also while the power is off. */
  async plug(stick: Stick): Promise<void> {
    this.#sticks.add(stick);
    if (this.#machine?.isRunning === true) await this.#machine.plugStick(stick);
  }

  async pull(stick: Stick): Promise<void> {
    this.#sticks.delete(stick);
    if (this.#machine?.isRunning === true) await this.#machine.pullStick(stick);
  }

  async cutPower(): Promise<void> {
    await this.machine.cut();
    this.#why = "its power was cut";
  }

  /** Waits until the gateway answers, and, with `isRight`, until it answers so. */
  answers(deadlineMs: number, isRight: (status: Status) => boolean = () => true): Promise<Status> {
    const { machine } = this;
    return machine.wait(
      "the gateway's answer",
      async () => {
        const status = await statusOf(machine.ports.http);
        return status !== null && isRight(status) ? status : undefined;
      },
      deadlineMs,
    );
  }

  /** A request of `/api/v1` as the administrator; its `data`. */
  async request(
    body: Readonly<Record<string, unknown>>,
  ): Promise<Readonly<Record<string, unknown>>> {
    const answer = await fetch(`http://127.0.0.1:${this.machine.ports.http}/api/v1`, {
      method: "POST",
      headers: {
        authorization: `Basic ${btoa(`${ADMINISTRATOR}:${this.password}`)}`,
        connection: "close",
      },
      body: JSON.stringify({ seq: 1, ...body }),
      signal: AbortSignal.timeout(60_000),
    });
    const text = await answer.text();
    const parsed: Readonly<Record<string, unknown>> = JSON.parse(text);
    if (answer.status !== 200 || parsed["code"] !== 0) {
      throw new Error(`request ${JSON.stringify(body)}: ${answer.status} ${text}`);
    }
    return (parsed["data"] ?? {}) as Readonly<Record<string, unknown>>;
  }

  /** How the newest update stands and how those before ended, as the API tells it. */
  async update(): Promise<string> {
    const { http } = this.machine.ports;
    const api = await login(http, { username: ADMINISTRATOR, password: this.password });
    const { status, body } = await api("GET", "/update");
    if (status !== 200) throw new Error(`GET /update: ${status} ${JSON.stringify(body)}`);
    return JSON.stringify(body);
  }

  /** Posts an update as the administrator. */
  async upload(bundle: string): Promise<void> {
    const root = `http://127.0.0.1:${this.machine.ports.http}/api/v5`;
    const headers = { "content-type": "application/json" };
    const credentials = { username: ADMINISTRATOR, password: this.password };
    const login = await fetch(`${root}/login`, {
      ...{ method: "POST", headers, body: JSON.stringify(credentials) },
      signal: AbortSignal.timeout(60_000),
    });
    const { token } = (await login.json()) as Readonly<Record<string, unknown>>;
    const answer = await fetch(`${root}/update`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/octet-stream" },
      body: await openAsBlob(bundle),
      signal: AbortSignal.timeout(UPLOAD_DEADLINE_MS),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`the update was answered with ${answer.status} ${text}`);
  }

  /** What commands print that root runs on the device. */
  async run(commands: string): Promise<string> {
    const { machine } = this;
    return machine
      .wait(
        `the test's shell to run ${commands}`,
        async () => {
          try {
            return { output: await runInGuest(machine.ports.shell, commands) };
          } catch {
            // It is reachable once the network has an address.
            return undefined;
          }
        },
        180_000,
      )
      .then(({ output }) => output);
  }

  /** Ends what still runs and removes everything but the logs. */
  async remove(): Promise<void> {
    if (this.#machine?.isRunning === true) await this.#machine.cut();
    this.card.remove();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function statusOf(tcpPort: number): Promise<Status | null> {
  try {
    const answer = await fetch(`http://127.0.0.1:${tcpPort}/status`, {
      headers: { connection: "close" },
      // QEMU takes connections before the guest does, and lets them wait.
      signal: AbortSignal.timeout(5000),
    });
    const body: unknown = await answer.json();
    if (!answer.ok || typeof body !== "object" || body === null) return null;
    const { version, uptime_s, rolled_back } = body as Readonly<Record<string, unknown>>;
    return {
      version: String(version),
      uptimeS: Number(uptime_s),
      isRolledBack: rolled_back === true,
    };
  } catch {
    return null;
  }
}
