import type { Log } from "../log/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import { Database } from "./database.ts";
import { openStore, sizeOf } from "./open.ts";
import { GatewayPersistence } from "./persistence.ts";

export interface StoreDeps {
  readonly log: Log;
  readonly clock: Clock;
}

export interface StoreConfig {
  /** Directory of the database; created with mode 0700. */
  readonly path: string;
}

/** Cheap numbers about the store; counters since the process started. */
export interface StoreStatus {
  readonly isOpen: boolean;
  /** Size of the database's files, measured every 30 s. */
  readonly bytesOnDisk: number;
  readonly bytesWritten: number;
  readonly commits: number;
  readonly fsyncs: number;
  /** Persistent sessions, connected or not. */
  readonly sessions: number;
  readonly retained: number;
  /** QoS 1 and 2 messages sessions have yet to acknowledge. */
  readonly queuedMessages: number;
  /** True when the start needed LevelDB's repair. */
  readonly isRepaired: boolean;
  /** Directory the damaged store was put into by the start, null when it was sound. */
  readonly setAside: string | null;
}

/** Sessions, subscriptions, queued and retained messages on disk. */
export interface Store {
  /**
   * Opens LevelDB and reads the indexes. A damaged store is repaired, else set aside as
   * `<path>.damaged-<stamp>` and replaced by an empty one; both are logged as errors.
   * @throws GatewayError STORE_OPEN_FAILED when another process has it open, or the directory
   * cannot be used
   */
  start(signal?: AbortSignal): Promise<void>;
  /** Writes what was accepted and closes; nothing is accepted afterwards. */
  stop(): Promise<void>;
  status(): StoreStatus;
  /** What the broker keeps its state in; usable from `start` to `stop`. */
  readonly persistence: GatewayPersistence;
}

const MEASURE_PERIOD_MS = 30_000;

/**
 * The store in `cfg.path`. A write is reported done after the group commit that holds it was
 * fsynced. Not waited for are retained messages of QoS 0, and delivery state (which packet
 * identifier a message was sent with, what was acknowledged): losing it costs a repeat that QoS 1
 * allows.
 */
export function createStore(deps: StoreDeps, cfg: StoreConfig): Store {
  const { clock } = deps;
  const log = deps.log.child({ part: "store" });
  const db = new Database(cfg.path);
  const persistence = new GatewayPersistence(db);
  let bytesOnDisk = 0;
  let isRepaired = false;
  let setAside: string | null = null;
  let timer: Timer | null = null;
  let stopping: Promise<void> | null = null;

  async function measure(): Promise<void> {
    try {
      bytesOnDisk = await sizeOf(cfg.path);
    } catch (err) {
      log.warn({ err }, "the size of the store could not be measured");
    }
  }

  async function openAndLoad(): Promise<void> {
    try {
      await db.open();
      await persistence.load();
    } catch (err) {
      await db.close();
      throw err;
    }
  }

  function stamp(): string {
    return new Date(clock.nowMs()).toISOString().replaceAll(/[:.]/g, "-");
  }

  async function close(): Promise<void> {
    timer?.cancel();
    await db.close();
  }

  return {
    persistence,

    async start(signal) {
      signal?.throwIfAborted();
      const outcome = await openStore(cfg.path, openAndLoad, stamp);
      ({ isRepaired, setAside } = outcome);
      const { damage } = outcome;
      if (setAside !== null) {
        log.error({ path: cfg.path, setAside, damage }, "damaged store set aside, started empty");
      } else if (isRepaired) {
        log.error({ path: cfg.path, damage }, "damaged store repaired");
      }
      if (signal?.aborted === true) {
        await db.close();
        signal.throwIfAborted();
      }
      await measure();
      timer = clock.every(MEASURE_PERIOD_MS, () => void measure());
    },

    async stop() {
      stopping ??= close();
      await stopping;
    },

    status: () => ({
      isOpen: db.isOpen,
      bytesOnDisk,
      bytesWritten: db.writes.bytes,
      commits: db.writes.commits,
      fsyncs: db.writes.fsyncs,
      sessions: persistence.sessionCount(),
      retained: persistence.retainedCount(),
      queuedMessages: persistence.queuedCount(),
      isRepaired,
      setAside,
    }),
  };
}
