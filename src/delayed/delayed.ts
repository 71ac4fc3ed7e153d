import { randomBytes } from "node:crypto";
import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Message } from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import { DueQueue } from "./due-queue.ts";
import { type DelayedRecord, readRecord, writeRecord } from "./record.ts";

/** Where the messages last: a record table of the store. */
export interface DelayedTable {
  entries(): AsyncIterable<readonly (readonly [key: string, value: Buffer])[]>;
  put(key: string, value: Buffer): void;
  delete(key: string): void;
  committed(): Promise<void>;
}

export interface DelayedDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly table: DelayedTable;
  /** Gateway time, ms: follows no jump of the wall clock and goes on over restarts. */
  gatewayMs(): number;
  /**
   * Publishes what is due; records what must last before it returns. Null when nothing is taken
   * now; rejects when it could not be stored.
   */
  release(message: Message): Promise<void> | null;
}

export interface DelayedConfig {
  /** Whether `$delayed/…` is taken; what waits already is published either way. */
  readonly enable: boolean;
  /** 0 = only bounded by bytes. */
  readonly maxMessages: number;
  /** Topics, payloads and 200 bytes for each message. */
  readonly maxBytes: number;
}

/** A message that waits, as the APIs show it. */
export interface DelayedMessage {
  /** 32 hex digits, rising with time. */
  readonly id: string;
  readonly message: Message;
  /** Wall clock at arrival, ms. */
  readonly publishedMs: number;
  readonly delayS: number;
  readonly remainingMs: number;
  /** Wall clock at which it will be published if nobody sets that, ms. */
  readonly expectedMs: number;
}

/**
 * Messages that are published later. They wait in memory and in the store, and leave in the order
 * they are due; a message is taken out of the store in the commit that holds its copies. What could
 * not be stored when it was due is tried again every second.
 */
export interface Delayed {
  /** Reads what waits; what fell due meanwhile is published soon after. */
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  status(): { readonly count: number; readonly bytes: number };
  /** Messages taken since the start, and waiting now and at most. */
  metrics(): { readonly "messages.delayed": number };
  levels(): { readonly delayed: { readonly now: number; readonly max: number } };
  readonly isEnabled: boolean;
  /**
   * Keeps a message for `delayMs`; recorded when this returns, durable when the promise resolves.
   * Null when a bound is reached, and after the stop; before the start it works already. @throws (rejects) STORE_FULL, STORE_WRITE_FAILED
   */
  add(message: Message, delayMs: number): Promise<void> | null;
  /** In order of arrival. */
  list(): Iterable<DelayedMessage>;
  get(id: string): DelayedMessage | undefined;
  /** False when there is no such message. @throws GatewayError STORE_FULL, STORE_WRITE_FAILED */
  remove(id: string): Promise<boolean>;
  /** Removes all for one topic (without prefix) and answers how many. */
  removeTopic(topic: string): Promise<number>;
  configure(cfg: DelayedConfig): void;
}

interface Entry extends DelayedRecord {
  readonly id: string;
  readonly bytes: number;
  isGone: boolean;
}

const OVERHEAD_BYTES = 200;
const RETRY_MS = 1000;
/** Messages released in one turn of the loop. */
const SLICE = 50;
/** Released messages that the store has not confirmed yet. */
const MAX_UNSETTLED = 1000;
/** `clock.after` is asked for no more, so that a board that slept is looked at now and then. */
const MAX_WAIT_MS = 60_000;

export function createDelayed(deps: DelayedDeps, cfg: DelayedConfig): Delayed {
  const { clock, table } = deps;
  const log = deps.log.child({ part: "delayed" });
  const entries = new Map<string, Entry>();
  const queue = new DueQueue<Entry>();
  let settings = cfg;
  let bytes = 0;
  let unsettled = 0;
  let timer: Timer | null = null;
  let isRunning = false;
  let isStopped = false;
  let isStuck = false;
  let added = 0;
  let taken = 0;
  let most = 0;

  /** Milliseconds first, then a count, so that ids rise in the order of arrival, then chance. */
  function newId(): string {
    const time = Math.max(0, Math.floor(clock.nowMs())).toString(16).padStart(12, "0").slice(-12);
    added = (added + 1) % 0x1_0000_0000;
    const count = added.toString(16).padStart(8, "0");
    return (time + count + randomBytes(6).toString("hex")).toUpperCase();
  }

  function enter(id: string, record: DelayedRecord): Entry {
    const { topic, payload } = record.message;
    const size = Buffer.byteLength(topic) + payload.length + OVERHEAD_BYTES;
    const entry: Entry = { ...record, id, bytes: size, isGone: false };
    entries.set(id, entry);
    bytes += size;
    most = Math.max(most, entries.size);
    queue.push(entry);
    return entry;
  }

  function leave(entry: Entry): void {
    if (entry.isGone) return;
    entry.isGone = true;
    entries.delete(entry.id);
    bytes -= entry.bytes;
    // Removed messages stay in the heap until they come up, or make up half of it.
    if (queue.size > 1000 && queue.size > entries.size * 2) queue.retain(({ isGone }) => !isGone);
  }

  function plan(): void {
    timer?.cancel();
    timer = null;
    const next = queue.peek();
    if (!isRunning || next === undefined || unsettled >= MAX_UNSETTLED) return;
    const waitMs = isStuck ? RETRY_MS : next.dueMs - deps.gatewayMs();
    timer = clock.after(Math.min(Math.max(0, waitMs), MAX_WAIT_MS), run);
  }

  function run(): void {
    timer = null;
    isStuck = false;
    const nowMs = deps.gatewayMs();
    for (let count = 0; count < SLICE && unsettled < MAX_UNSETTLED && !isStuck; count++) {
      const next = queue.peek();
      if (next === undefined || (!next.isGone && next.dueMs > nowMs)) break;
      queue.pop();
      if (!next.isGone) release(next);
    }
    plan();
  }

  function release(entry: Entry): void {
    const done = deps.release(entry.message);
    if (done === null) {
      isStuck = true;
      queue.push(entry);
      return;
    }
    // In the group that holds the message's copies: it is published once, whenever power fails.
    table.delete(entry.id);
    leave(entry);
    unsettled++;
    Promise.all([done, table.committed()])
      .catch((err: unknown) => {
        log.warn({ topic: entry.message.topic, err: reasonOf(err) }, "delayed message kept back");
        isStuck = true;
        const { message, publishedMs, delayS, dueMs } = entry;
        const record = { message, publishedMs, delayS, dueMs };
        table.put(entry.id, writeRecord(record));
        enter(entry.id, record);
      })
      .finally(() => {
        unsettled--;
        if (timer === null) plan();
      });
  }

  function hasRoom(message: Message): boolean {
    const size = Buffer.byteLength(message.topic) + message.payload.length + OVERHEAD_BYTES;
    const { maxMessages, maxBytes } = settings;
    return (maxMessages === 0 || entries.size < maxMessages) && bytes + size <= maxBytes;
  }

  function view(entry: Entry): DelayedMessage {
    const { id, message, publishedMs, delayS, dueMs } = entry;
    const remainingMs = Math.max(0, dueMs - deps.gatewayMs());
    return {
      id,
      message,
      publishedMs,
      delayS,
      remainingMs,
      expectedMs: clock.nowMs() + remainingMs,
    };
  }

  return {
    async start(signal) {
      for await (const slice of table.entries()) {
        signal?.throwIfAborted();
        for (const [id, value] of slice) {
          const record = readRecord(value);
          if (record === null) log.error({ id }, "a delayed message is unreadable and left out");
          // Wills that fell due while the gateway was off may have come before.
          else if (!entries.has(id)) enter(id, record);
        }
      }
      if (entries.size > 0) log.info({ count: entries.size }, "delayed messages read");
      isRunning = true;
      plan();
    },

    async stop() {
      isRunning = false;
      isStopped = true;
      timer?.cancel();
      timer = null;
    },

    status: () => ({ count: entries.size, bytes }),
    metrics: () => ({ "messages.delayed": taken }),
    levels: () => ({ delayed: { now: entries.size, max: most } }),

    get isEnabled() {
      return settings.enable;
    },

    add(message, delayMs) {
      if (isStopped || !hasRoom(message)) return null;
      const record: DelayedRecord = {
        message,
        publishedMs: clock.nowMs(),
        delayS: Math.round(delayMs / 1000),
        dueMs: deps.gatewayMs() + Math.max(0, delayMs),
      };
      const entry = enter(newId(), record);
      taken++;
      table.put(entry.id, writeRecord(record));
      if (queue.peek() === entry) plan();
      return table.committed().catch((err: unknown) => {
        // Its publisher is told that it was not taken.
        if (!entry.isGone) table.delete(entry.id);
        leave(entry);
        throw err;
      });
    },

    *list() {
      for (const entry of entries.values()) yield view(entry);
    },

    get(id) {
      const entry = entries.get(id);
      return entry && view(entry);
    },

    async remove(id) {
      const entry = entries.get(id);
      if (entry === undefined) return false;
      table.delete(id);
      leave(entry);
      await table.committed();
      return true;
    },

    async removeTopic(topic) {
      const found = [...entries.values()].filter(({ message }) => message.topic === topic);
      for (const entry of found) {
        table.delete(entry.id);
        leave(entry);
      }
      if (found.length > 0) await table.committed();
      return found.length;
    },

    configure(next) {
      settings = next;
    },
  };
}
