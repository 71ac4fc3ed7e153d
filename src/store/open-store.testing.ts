import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Config } from "../config/index.ts";
import { createLog, type Log } from "../log/index.ts";
import { type Clock, systemClock } from "../time/index.ts";
import type { LevelDriver } from "./leveldb/level.ts";
import { LevelStore } from "./store.ts";

/** A folder for one test, removed after it. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-store-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A log that keeps its lines. */
export function listeningLog(): { log: Log; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line));
  return { log: createLog({ level: "debug" }, { write }), lines };
}

const DEFAULTS: Config["store"] = {
  durability: "fsync",
  commit_delay_ms: 20,
  max_commits_per_s: 0,
  max_bytes: 2_147_483_648,
  free_reserve_bytes: 0,
};

export interface OpenOptions {
  readonly clock?: Clock;
  readonly driver?: LevelDriver;
  readonly store?: Partial<Config["store"]>;
  readonly log?: Log;
}

/** A started store over `path`; stopped after the test if it was not before. */
export async function openedStore(path: string, options: OpenOptions = {}): Promise<LevelStore> {
  const { clock = systemClock, driver, store = {}, log = listeningLog().log } = options;
  const opened = new LevelStore(
    { log, clock, ...(driver === undefined ? undefined : { driver }) },
    { path, store: { ...DEFAULTS, ...store } },
  );
  await opened.start();
  onTestFinished(() => opened.stop());
  return opened;
}
