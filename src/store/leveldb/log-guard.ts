import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ByteReader } from "../bytes.ts";
import type { LevelBatch } from "./level.ts";
import { readLog } from "./log-file.ts";
import { readManifest } from "./manifest.ts";

/** A read that fails is tried again: many disks fail once. */
const ATTEMPTS = 3;
const PAUSE_MS = 100;

/** What LevelDB notes in its LOG when it could not read a log and goes on without it. */
const IGNORED = /Ignoring error (?!Corruption)/;

/** A record's place in a batch (LevelDB db/write_batch.cc): behind sequence and count. */
const FIRST_RECORD = 12;
const DELETION = 0;

/**
 * Keeps the logs that LevelDB is about to read. It passes over one that cannot be opened at that
 * moment, without a word, and removes it: what was acknowledged last would be gone by one read error.
 */
export class LogGuard {
  readonly #path: string;
  readonly #logs: readonly Buffer[];

  /** To be called before the folder is opened. @throws Error when a log cannot be read (rejects) */
  static async read(path: string): Promise<LogGuard> {
    const names = await namesIn(path);
    if (!names.includes("CURRENT")) return new LogGuard(path, []);
    const current = (await readPatiently(join(path, "CURRENT"))).toString("latin1").trimEnd();
    const manifest = await readPatiently(join(path, current)).catch(() => null);
    const oldest = (manifest === null ? null : readManifest(manifest))?.log ?? 0;
    const numbers = names.flatMap((name) => (/^\d+\.log$/.test(name) ? [name] : []));
    const logs: Buffer[] = [];
    for (const name of numbers.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))) {
      if (Number.parseInt(name, 10) >= oldest) logs.push(await readPatiently(join(path, name)));
    }
    return new LogGuard(path, logs);
  }

  private constructor(path: string, logs: readonly Buffer[]) {
    this.#path = path;
    this.#logs = logs;
  }

  /** To be called once the folder is open: gives LevelDB what it has passed over. */
  async restore(newBatch: () => LevelBatch): Promise<void> {
    if (this.#logs.every((log) => log.length === 0) || !(await this.#hasIgnored())) return;
    const contents = this.#logs.map(readLog);
    if (contents.some(({ isDamaged }) => isDamaged)) return;
    const batch = newBatch();
    // All of them, in order: nothing that is in a table is newer.
    for (const { entries } of contents) for (const entry of entries) replay(entry, batch);
    await batch.write({ sync: true });
  }

  async #hasIgnored(): Promise<boolean> {
    // Without a LOG nobody knows; to write once more what is there does no harm.
    const notes = await readFile(join(this.#path, "LOG"), "latin1").catch(() => null);
    return notes === null || IGNORED.test(notes);
  }
}

async function readPatiently(file: string): Promise<Buffer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await readFile(file);
    } catch (err) {
      if (attempt === ATTEMPTS) throw err;
      await delay(PAUSE_MS);
    }
  }
}

async function namesIn(path: string): Promise<string[]> {
  return readdir(path).catch(() => []);
}

function replay(entry: Buffer, batch: LevelBatch): void {
  const from = new ByteReader(entry, FIRST_RECORD);
  while (!from.isAtEnd) {
    const isDeletion = from.u8() === DELETION;
    const key = from.bytes();
    if (isDeletion) batch.del(key);
    else batch.put(key, from.bytes());
  }
}
