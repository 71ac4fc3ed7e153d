import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import { seqMark } from "./marks.ts";
import { SeqWindow } from "./seq-window.ts";

/** Small durable values by name. */
export interface MarkTable {
  entries(): AsyncIterable<readonly (readonly [key: string, value: Buffer])[]>;
  put(key: string, value: Buffer): void;
  delete(key: string): void;
}

export interface RepeatFilterDeps {
  readonly log: Log;
  readonly clock: Clock;
  /** Without it what came before a restart is not known again. */
  readonly table?: MarkTable;
}

/** A message with a mark, on its way in. */
export interface Mark {
  /** The same message came before: `safe`, or resolves once that one is; rejects when it failed. */
  readonly before: "safe" | Promise<void> | null;
  /** The message is safe, or was refused and will come again. */
  settle(isSafe: boolean): void;
}

/** Knows the messages again that another gateway's bridge sends a second time. */
export interface RepeatFilter {
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /** Null for a message without a mark. `clientId` is that of the bridge that sent it. */
  take(
    clientId: string,
    userProperties: readonly (readonly [string, string])[] | undefined,
  ): Mark | null;
  /** Messages known again since the start. */
  repeats(): number;
}

/** Bridges remembered; those that were silent longest are forgotten. */
const MAX_SENDERS = 1000;

const MAX_CLIENT_ID = 256;

/** Marks are written together: a message marked within this time of a crash may come twice. */
const WRITE_PERIOD_MS = 250;

/**
 * Builds the filter. A mark counts for the client that sent it, so that nobody can spoil another's.
 * Only what is safe here is remembered over a restart: a message is never taken for known before.
 */
export function createRepeatFilter(deps: RepeatFilterDeps): RepeatFilter {
  return new MarkedRepeats(deps);
}

class MarkedRepeats implements RepeatFilter {
  readonly #deps: RepeatFilterDeps;
  readonly #windows = new Map<string, SeqWindow>();
  readonly #dirty = new Set<string>();
  #timer: Timer | null = null;
  #repeats = 0;

  constructor(deps: RepeatFilterDeps) {
    this.#deps = deps;
  }

  async start(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    for await (const rows of this.#deps.table?.entries() ?? []) {
      for (const [key, value] of rows) {
        const window = SeqWindow.read(value.toString());
        if (window !== null && this.#windows.size < MAX_SENDERS) this.#windows.set(key, window);
      }
    }
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    this.#write();
  }

  repeats(): number {
    return this.#repeats;
  }

  take(
    clientId: string,
    userProperties: readonly (readonly [string, string])[] | undefined,
  ): Mark | null {
    const mark = seqMark(userProperties);
    if (mark === null || clientId.length > MAX_CLIENT_ID) return null;
    const key = `${mark.epoch} ${clientId}`;
    const window = this.#windowOf(key);
    const before = window.take(mark.seq);
    if (before !== null) {
      this.#repeats += 1;
      return { before, settle: () => {} };
    }
    return {
      before: null,
      settle: (isSafe) => {
        window.settle(mark.seq, isSafe);
        this.#dirty.add(key);
        this.#timer ??= this.#deps.clock.after(WRITE_PERIOD_MS, () => {
          this.#timer = null;
          this.#write();
        });
      },
    };
  }

  #windowOf(key: string): SeqWindow {
    const known = this.#windows.get(key);
    if (known !== undefined) return known;
    if (this.#windows.size >= MAX_SENDERS) this.#forgetOldest();
    const window = new SeqWindow();
    this.#windows.set(key, window);
    return window;
  }

  #forgetOldest(): void {
    for (const key of this.#windows.keys()) {
      this.#windows.delete(key);
      this.#dirty.delete(key);
      this.#deps.table?.delete(key);
      return;
    }
  }

  #write(): void {
    const { table, log } = this.#deps;
    try {
      for (const key of this.#dirty) {
        const window = this.#windows.get(key);
        if (window === undefined) continue;
        table?.put(key, Buffer.from(window.text()));
        // The order of the map is that of the last use.
        this.#windows.delete(key);
        this.#windows.set(key, window);
      }
      this.#dirty.clear();
    } catch (err) {
      log.warn({ reason: reasonOf(err) }, "marks of bridged messages could not be kept");
    }
  }
}
