import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Clock, Timer } from "../time/index.ts";

/** A bridge as the device's programs are told of it. */
export interface ReportedBridge {
  readonly name: string;
  /** One word; `connected` and `disabled` are known there. */
  readonly state: string;
  /** In words, null while all is well. */
  readonly lastError: string | null;
}

export interface BridgeReportDeps {
  readonly log: Log;
  readonly clock: Clock;
  bridges(): readonly ReportedBridge[];
}

/** Tells the device's programs how the bridges are: an update must leave them as they were. */
export interface BridgeReport {
  /** Writes the first report, and a new one whenever something has changed. */
  start(signal?: AbortSignal): Promise<void>;
  /** Takes it away. */
  stop(): Promise<void>;
}

const FILE = "bridges";
const LOOK_EVERY_MS = 1000;
const MAX_ERROR_LENGTH = 300;

/**
 * The file `bridges` in the run-time directory, a line for each bridge: name, state and, where it has
 * one, the last error, with a blank between. The directory is in memory, so a link that flaps does not wear
 * the card.
 * @param directory systemd's `RUNTIME_DIRECTORY`; null = nobody is told
 */
export function createBridgeReport(deps: BridgeReportDeps, directory: string | null): BridgeReport {
  const log = deps.log.child({ part: "bridge-report" });
  let told: string | null = null;
  let timer: Timer | null = null;
  let writing: Promise<void> = Promise.resolve();
  let hasFailed = false;

  /** Never rejects. */
  async function write(path: string, text: string): Promise<void> {
    try {
      await writeFile(`${path}.new`, text, { mode: 0o600 });
      await rename(`${path}.new`, path);
      hasFailed = false;
    } catch (err) {
      // Again at the next look.
      told = null;
      if (!hasFailed) log.warn({ path, reason: reasonOf(err) }, "nobody is told of the bridges");
      hasFailed = true;
    }
  }

  function look(path: string): Promise<void> {
    const text = deps.bridges().map(lineOf).join("");
    if (text !== told) {
      told = text;
      writing = writing.then(() => write(path, text));
    }
    return writing;
  }

  return {
    async start(signal) {
      signal?.throwIfAborted();
      if (directory === null) return;
      const path = join(directory, FILE);
      await look(path);
      timer = deps.clock.every(LOOK_EVERY_MS, () => void look(path));
    },
    async stop() {
      timer?.cancel();
      await writing;
      if (directory !== null) await rm(join(directory, FILE), { force: true }).catch(() => {});
    },
  };
}

/** A line break would begin another bridge. */
function lineOf({ name, state, lastError }: ReportedBridge): string {
  const why = (lastError ?? "").replaceAll(/\p{C}+/gu, " ").slice(0, MAX_ERROR_LENGTH);
  return `${[name, state, why].join(" ").trimEnd()}\n`;
}
