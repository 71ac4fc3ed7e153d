import { type ChildProcessByStdio, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type { FaultPlan } from "./disk-control.ts";
import type { DiskShim } from "./disk-shim.ts";
import type { StoreContent } from "./store-content.ts";

/** What the child is asked; `path` is a store's folder, or a data directory. */
export type Request =
  /** Starts the store, reads all of it, writes something and stops: gives StoreReport. */
  | { readonly action: "store"; readonly path: string }
  /** Starts with the configuration: gives ConfigContent. */
  | { readonly action: "config"; readonly path: string }
  /** Makes the store of store-fixture.ts: gives nothing. */
  | { readonly action: "fill"; readonly path: string; readonly seed: number }
  /** Works on a store whose disk fails: gives StoreLoadReport. */
  | { readonly action: "load"; readonly path: string; readonly load: StoreLoad };

/** A load on a store whose disk begins to fail. */
export interface StoreLoad {
  readonly seed: number;
  /** What the store holds before. */
  readonly base: StoreContent;
  readonly controlFile: string;
  readonly plan: FaultPlan | null;
  /** How long the disk fails at most, from its first failure on. */
  readonly healAfterMs: number;
}

export interface StoreLoadReport {
  /** What went wrong; empty = nothing. */
  readonly violations: readonly string[];
  /** How many operations the disk failed. */
  readonly failed: number;
  readonly acknowledged: number;
  readonly refused: number;
  /** The failure of the first start; null when it was none. */
  readonly startError: string | null;
  /** From the disk being fine again to the first commit. */
  readonly recoveryMs: number;
}

export interface StoreReport extends StoreContent {
  /** Lines of level warn and above. */
  readonly log: string;
  readonly startMs: number;
}

export interface ConfigContent {
  /** The keys a test changes together. */
  readonly values: readonly number[];
  /** What was put aside. */
  readonly incident: { readonly reason: string } | null;
}

export type Answer = { readonly durationMs: number } & (
  | { readonly result: unknown }
  | { readonly error: string }
);

const CHILD = join(import.meta.dirname, "probe-child.ts");

/** faults.md F2, F3: whatever state a store is in, it starts within this. */
export const START_LIMIT_MS = 20_000;

/** A process that opens data directories; started anew when one has killed it. */
export class Probe {
  readonly #env: NodeJS.ProcessEnv;
  #child: ChildProcessByStdio<Writable, Readable, null> | null = null;
  #lines: Interface | null = null;

  constructor(env: NodeJS.ProcessEnv = {}) {
    this.#env = env;
  }

  async store(path: string): Promise<StoreReport> {
    return (await this.#ask({ action: "store", path })) as StoreReport;
  }

  async config(path: string): Promise<ConfigContent> {
    return (await this.#ask({ action: "config", path })) as ConfigContent;
  }

  async fill(path: string, seed: number): Promise<void> {
    await this.#ask({ action: "fill", path, seed });
  }

  async load(path: string, load: StoreLoad): Promise<StoreLoadReport> {
    return (await this.#ask({ action: "load", path, load }, 60_000)) as StoreLoadReport;
  }

  /** Ends the process, once it has nothing to do. */
  async close(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null) return;
    const closed = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGKILL");
    await closed;
  }

  /** @throws Error when the child answers with an error, dies, or is too slow (rejects). */
  async #ask(request: Request, limitMs = START_LIMIT_MS + 5000): Promise<unknown> {
    const { child, lines } = this.#running();
    const answer = await new Promise<Answer>((resolve, reject) => {
      const fail = (reason: string) => {
        settle();
        void this.close();
        reject(new Error(reason));
      };
      const onExit = (code: number | null, signal: string | null) =>
        fail(`the process died: ${signal ?? `exit code ${code}`}`);
      const onLine = (line: string) => {
        settle();
        resolve(JSON.parse(line));
      };
      const timer = setTimeout(() => fail(`no answer within ${limitMs} ms`), limitMs);
      const settle = () => {
        clearTimeout(timer);
        child.off("exit", onExit);
        lines.off("line", onLine);
      };
      child.once("exit", onExit);
      lines.once("line", onLine);
      child.stdin.write(`${JSON.stringify(request)}\n`);
    });
    if ("error" in answer) throw new Error(answer.error);
    return answer.result;
  }

  #running(): { child: ChildProcessByStdio<Writable, Readable, null>; lines: Interface } {
    if (this.#child !== null && this.#lines !== null && this.#child.exitCode === null) {
      return { child: this.#child, lines: this.#lines };
    }
    const child = spawn(process.execPath, [CHILD], {
      env: { ...process.env, ...this.#env },
      stdio: ["pipe", "pipe", "inherit"],
    });
    // A child that dies says so by its exit.
    child.stdin.on("error", () => {});
    const lines = createInterface({ input: child.stdout });
    this.#child = child;
    this.#lines = lines;
    return { child, lines };
  }
}

/**
 * Runs `task` for every item, with one probe on each disk: an item has the two for itself while it
 * runs. The probes are ended.
 */
export async function eachProbed<T>(
  items: Iterable<T>,
  disks: readonly DiskShim[],
  task: (item: T, probe: Probe, disk: DiskShim) => Promise<void>,
): Promise<void> {
  const queue = items[Symbol.iterator]();
  const lane = async (disk: DiskShim) => {
    const probe = new Probe(disk.env);
    try {
      // Not for-of: it would end the iterator for the other lanes.
      for (let next = queue.next(); next.done !== true; next = queue.next()) {
        await task(next.value, probe, disk);
      }
    } finally {
      await probe.close();
    }
  };
  await Promise.all(disks.map(lane));
}
