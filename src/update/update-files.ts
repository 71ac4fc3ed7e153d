import { open } from "node:fs/promises";
import { join } from "node:path";

/** How an update stands or ended, as the device's programs wrote it. */
export interface UpdateResult {
  /**
   * `checking`, `installing`, `installed` (waits for a reboot), `rebooting`, `trial`; the ends are
   * `succeeded`, `refused`, `failed` and `fell_back`.
   */
  readonly state: string;
  readonly progressPercent: number;
  /** The version that ran, and the one of the update; null while it is not known. */
  readonly from: string | null;
  readonly to: string | null;
  /** `api`, `cli` or `usb`; null when nobody said. */
  readonly source: string | null;
  /** Why it did not succeed. */
  readonly error: string | null;
  /** ISO 8601. */
  readonly at: string | null;
  /** null when it is not on trial. */
  readonly trial: TrialView | null;
}

/** What a new version on trial waits for; times are ISO 8601. */
export interface TrialView {
  readonly since: string | null;
  /** When it is kept, if everything stays as it is; null while something is wrong. */
  readonly until: string | null;
  /** When it has failed. */
  readonly latest: string | null;
  /** In words. */
  readonly waitingFor: string | null;
}

/** A root slot as the boot loader finds it. */
export interface SlotView {
  readonly name: string;
  readonly version: string | null;
  /** Starts it may still be given; 0 = it is not started. */
  readonly attemptsLeft: number;
  /** A start of it was found healthy. */
  readonly isCommitted: boolean;
  readonly isRunning: boolean;
  /** The next start takes it. */
  readonly isNext: boolean;
}

/** What became of a USB stick that was plugged in. */
export interface UsbStick {
  /** Its partition as the system names it, `sda1`. */
  readonly device: string;
  readonly message: string;
  /** ISO 8601. */
  readonly at: string | null;
}

const MAX_FILE_BYTES = 65_536;
const MAX_HISTORY = 20;

/** The update under way, or the last one; null when there was none. */
export async function readStatus(directory: string): Promise<UpdateResult | null> {
  return resultOf(parsed(await textOf(join(directory, "status.json"))));
}

/** How updates ended, the newest first. */
export async function readHistory(directory: string): Promise<UpdateResult[]> {
  const lines = (await textOf(join(directory, "history.jsonl"))).split("\n");
  return lines
    .flatMap((line) => resultOf(parsed(line)) ?? [])
    .slice(-MAX_HISTORY)
    .reverse();
}

/** What became of USB sticks since the device was started, the newest first. */
export async function readUsbSticks(directory: string): Promise<UsbStick[]> {
  const lines = (await textOf(join(directory, "usb.jsonl"))).split("\n");
  return lines
    .flatMap((line) => {
      const found = parsed(line);
      const [device, message] = [text(found?.["device"]), text(found?.["message"])];
      if (device === null || message === null) return [];
      return { device, message, at: text(found?.["at"]) };
    })
    .slice(-MAX_HISTORY)
    .reverse();
}

export async function readSlots(directory: string): Promise<SlotView[]> {
  const found = parsed(await textOf(join(directory, "slots.json")));
  const { running, next, slots } = found ?? {};
  if (!Array.isArray(slots)) return [];
  return slots.flatMap((slot: unknown) => {
    if (!isObject(slot)) return [];
    const name = text(slot["name"]) ?? "";
    return {
      name,
      version: text(slot["version"]),
      attemptsLeft: number(slot["attempts_left"]),
      isCommitted: slot["committed"] === true,
      isRunning: name === running,
      isNext: name === next,
    };
  });
}

function resultOf(found: Record<string, unknown> | null): UpdateResult | null {
  const state = text(found?.["state"]);
  if (found === null || state === null) return null;
  return {
    state,
    progressPercent: number(found["progress"]),
    from: text(found["from"]),
    to: text(found["to"]),
    source: text(found["source"]),
    error: text(found["error"]),
    at: text(found["at"]),
    trial: trialOf(found["trial"]),
  };
}

function trialOf(found: unknown): TrialView | null {
  if (!isObject(found)) return null;
  return {
    since: text(found["since"]),
    until: text(found["until"]),
    latest: text(found["latest"]),
    waitingFor: text(found["waiting_for"]),
  };
}

/** A file's beginning; nothing where there is no file, which is not worth an error here. */
async function textOf(path: string): Promise<string> {
  try {
    await using file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_FILE_BYTES), 0, MAX_FILE_BYTES);
    return buffer.toString("utf8", 0, bytesRead);
  } catch {
    return "";
  }
}

function parsed(json: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(json);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : null);
const number = (value: unknown) => (typeof value === "number" ? value : 0);
