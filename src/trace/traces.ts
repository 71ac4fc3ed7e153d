import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../log/index.ts";
import type { Observer } from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import { readRecord, type TraceRecord, writeRecord } from "./record.ts";
import type { TraceSpec, TraceView } from "./trace.ts";
import { TraceFile } from "./trace-file.ts";
import { traceObserver } from "./trace-observer.ts";

/** Small durable values; the store's record table. */
export interface TraceTable {
  entries(): AsyncIterable<readonly (readonly [key: string, value: Buffer])[]>;
  put(key: string, value: Buffer): void;
  delete(key: string): void;
}

export interface TracesDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly broker: {
    observe(observer: Observer): () => void;
    client(
      clientId: string,
    ): { readonly peerAddress: string; readonly peerPort: number } | undefined;
  };
  /** Where traces outlive a restart; used from the start on. */
  readonly store: { table(name: string): TraceTable };
}

/** `duplicate`: the same client, topic or address is traced already. */
export type CreateOutcome = "created" | "exists" | "duplicate" | "full";

/** A piece of what a trace wrote. */
export interface TracePart {
  readonly text: string;
  /** Where the next piece begins, bytes. */
  readonly position: number;
  /** Nothing comes after it, now or later. */
  readonly isEnd: boolean;
}

/** Writes down what passes of chosen clients, topics and addresses. */
export interface Traces {
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /** Oldest first. */
  list(): readonly TraceView[];
  find(name: string): TraceView | null;
  create(spec: TraceSpec): CreateOutcome;
  /** Ends a trace and keeps what it wrote; false when there is none. */
  end(name: string): boolean;
  /** Removes a trace with what it wrote; false when there is none. */
  remove(name: string): Promise<boolean>;
  /** Null when there is no such trace. */
  read(name: string, position: number, bytes: number): Promise<TracePart | null>;
}

const MAX_TRACES = 30;
const MAX_FILE_BYTES = 8_388_608;
/** All files together. */
const MAX_TOTAL_BYTES = 67_108_864;
const FLUSH_MS = 1000;

interface Trace {
  readonly spec: TraceSpec;
  readonly file: TraceFile;
  readonly fileName: string;
  isStopped: boolean;
}

/**
 * Traces write to files in `cfg.path`, at most 8 MB each and 64 MB together, once a second. While
 * none runs, nothing watches the engine.
 */
export function createTraces(deps: TracesDeps, cfg: { readonly path: string }): Traces {
  const { clock, broker } = deps;
  const log = deps.log.child({ part: "trace" });
  const traces = new Map<string, Trace>();
  let table: TraceTable | null = null;
  let timer: Timer | null = null;
  let stopWatching: (() => void) | null = null;
  let running: readonly Trace[] = [];
  const removing = new Set<Promise<void>>();

  function statusOf({ spec, isStopped }: Trace): TraceView["status"] {
    const nowMs = clock.nowMs();
    if (isStopped || nowMs >= spec.endAtMs) return "stopped";
    return nowMs < spec.startAtMs ? "waiting" : "running";
  }

  const viewOf = (trace: Trace): TraceView => ({
    spec: trace.spec,
    status: statusOf(trace),
    sizeBytes: trace.file.sizeBytes,
    changedAtMs: trace.file.changedAtMs,
  });

  const observer = traceObserver({
    nowMs: () => clock.nowMs(),
    peerOf: (clientId) => broker.client(clientId) ?? null,
    running: () => running,
  });

  function usedBytes(): number {
    return [...traces.values()].reduce((sum, { file }) => sum + file.sizeBytes, 0);
  }

  /** Begins and ends what is due, and watches only while something runs. */
  function turn(): void {
    for (const trace of traces.values()) {
      if (!trace.isStopped && trace.file.isClosed) {
        if (trace.file.failure !== null) {
          const { failure: reason } = trace.file;
          log.warn({ trace: trace.spec.name, reason }, "a trace cannot be written and ends");
        }
        endTrace(trace);
      }
      void trace.file.flush();
    }
    running = [...traces.values()].filter((trace) => statusOf(trace) === "running");
    if (usedBytes() > MAX_TOTAL_BYTES) {
      for (const trace of running) endTrace(trace);
      running = [];
    }
    const isNeeded = running.length > 0 && timer !== null;
    if (isNeeded) stopWatching ??= broker.observe(observer);
    else unwatch();
  }

  function unwatch(): void {
    stopWatching?.();
    stopWatching = null;
  }

  function put({ spec, fileName, isStopped }: Trace): void {
    const record: TraceRecord = { spec, file: fileName, isStopped };
    table?.put(spec.name, writeRecord(record));
  }

  function endTrace(trace: Trace): void {
    trace.isStopped = true;
    put(trace);
  }

  async function load(from: TraceTable): Promise<void> {
    const known = new Set<string>();
    for await (const rows of from.entries()) {
      for (const [name, value] of rows) {
        const record = readRecord(value);
        if (record === null || record.spec.name !== name || traces.size >= MAX_TRACES) {
          from.delete(name);
          continue;
        }
        const { spec, file: fileName, isStopped } = record;
        const file = new TraceFile(join(cfg.path, fileName), MAX_FILE_BYTES, clock.nowMs());
        await file.resume();
        traces.set(name, { spec, file, fileName, isStopped });
        known.add(fileName);
      }
    }
    const files = await readdir(cfg.path);
    for (const file of files) {
      if (!known.has(file)) await rm(join(cfg.path, file), { force: true, recursive: true });
    }
  }

  return {
    async start(signal) {
      signal?.throwIfAborted();
      if (timer !== null) return;
      await mkdir(cfg.path, { recursive: true, mode: 0o700 });
      traces.clear();
      table = deps.store.table("traces");
      await load(table);
      timer = clock.every(FLUSH_MS, turn);
      turn();
    },

    async stop() {
      timer?.cancel();
      timer = null;
      unwatch();
      await Promise.all([...removing, ...[...traces.values()].map(({ file }) => file.flush())]);
    },

    list: () => [...traces.values()].map(viewOf),

    find(name) {
      const trace = traces.get(name);
      return trace === undefined ? null : viewOf(trace);
    },

    create(spec) {
      if (traces.has(spec.name)) return "exists";
      const isSame = ({ spec: other }: Trace) =>
        other.kind === spec.kind && other.value === spec.value;
      if ([...traces.values()].some((trace) => isSame(trace) && statusOf(trace) !== "stopped")) {
        return "duplicate";
      }
      if (traces.size >= MAX_TRACES || usedBytes() > MAX_TOTAL_BYTES) return "full";
      const fileName = `${randomBytes(8).toString("hex")}.log`;
      const file = new TraceFile(join(cfg.path, fileName), MAX_FILE_BYTES, clock.nowMs());
      const trace = { spec, file, fileName, isStopped: false };
      traces.set(spec.name, trace);
      put(trace);
      turn();
      return "created";
    },

    end(name) {
      const trace = traces.get(name);
      if (trace === undefined) return false;
      if (!trace.isStopped) endTrace(trace);
      turn();
      return true;
    },

    async remove(name) {
      const trace = traces.get(name);
      if (trace === undefined) return false;
      traces.delete(name);
      table?.delete(name);
      turn();
      const removal = trace.file.remove();
      removing.add(removal);
      await removal.finally(() => removing.delete(removal));
      return true;
    },

    async read(name, position, bytes) {
      const trace = traces.get(name);
      if (trace === undefined) return null;
      const read = await trace.file.read(position, bytes);
      const next = position + read.length;
      const isEnd = next >= trace.file.sizeBytes && statusOf(trace) === "stopped";
      return { text: read.toString(), position: next, isEnd };
    },
  };
}
