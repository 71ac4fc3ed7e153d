import { type Config, SCHEMA } from "../config/index.ts";
import { type GatewayError, reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type {
  LoadedRetained,
  LoadedSession,
  Outbox,
  SessionStore,
  StopListening,
  StoredMessage,
  StoreRefusal,
} from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import { clearTables, GatewayPersistence, migrate } from "./aedes/index.ts";
import { StoreCore } from "./core.ts";
import { Database } from "./database.ts";
import type { DurableMemory, StoreState } from "./durable-memory.ts";
import { FOREIGN_TABLES } from "./keys.ts";
import { isDiskFull, type LevelDriver, levelDriver } from "./leveldb/index.ts";
import { openStore, UnusableStore } from "./opening.ts";
import { type OutboxConfig, OutboxFace } from "./outbox/index.ts";
import type { RecordTable } from "./record-table.ts";
import { FORMAT, type ScanResult } from "./scan.ts";
import { dropBallast } from "./space.ts";
import { type StoreStatus, statusBeforeStart } from "./status.ts";

export interface StoreDeps {
  readonly log: Log;
  readonly clock: Clock;
  /** LevelDB itself unless a test brings one that fails. */
  readonly driver?: LevelDriver;
}

export interface StoreConfig {
  /** The LevelDB folder; made when it is not there, readable for its owner alone. */
  readonly path: string;
  /** The configuration's slice; its defaults when left out. */
  readonly store?: Config["store"];
}

/** The gateway's durable memory: see EngineStore for what it promises the broker. */
export interface Store extends DurableMemory {
  /**
   * Opens the folder, whatever state it is in (see `StoreStatus.setAside`), takes over what
   * aedes-persistence-level wrote into it, and is ready to be read.
   * @throws GatewayError STORE_IN_USE when another process has it; STORE_OPEN_FAILED when rights, a
   * full or read-only disk are in the way; STORE_FULL or STORE_WRITE_FAILED when that shows while an
   * old layout is taken over (rejects).
   */
  start(signal?: AbortSignal): Promise<void>;
  /** Commits what is recorded and closes the folder. Safe to call twice. */
  stop(): Promise<void>;
  /**
   * The same store as an aedes persistence, for what is written against that contract: all of
   * aedes's persistence methods, as promises (aedes-persistence 11, asyncPersistence).
   */
  readonly persistence: GatewayPersistence;
  /**
   * A table of small durable values that some other part manages; usable after `start`. Two handles
   * of one name are the same table. `name`: 1 to 32 of a to z and `_`.
   * @throws Error for another name
   */
  table(name: string): RecordTable;

  /**
   * The outbox of this name, with these bounds from now on; there is one of each name. It may be
   * asked for before `start` and used after. `name` holds no U+0000.
   */
  outbox(name: string, cfg: OutboxConfig): Outbox;
  /**
   * Gives up all that is in an outbox, and what is noted of it; to be called when nobody uses it.
   * @throws GatewayError STORE_FULL, STORE_WRITE_FAILED or STORE_READ_FAILED (rejects)
   */
  discardOutbox(name: string): Promise<void>;

  /** Every outbox something waits in, also those nobody has asked for since the start. */
  waiting(): readonly WaitingOutbox[];

  /** Resolves when nothing is being swept up or compacted any more. */
  idle(): Promise<void>;
}

/** An outbox, and what waits in it: messages, and bytes of topic and payload. */
export interface WaitingOutbox {
  readonly name: string;
  readonly messages: number;
  readonly bytes: number;
}

interface Opened {
  readonly core: StoreCore;
  readonly database: Database;
  readonly found: ScanResult;
  readonly damaged: number;
  close(): Promise<void>;
}

/** Makes a store over one LevelDB folder. Nothing is touched before `start`. */
export function createStore(deps: StoreDeps, cfg: StoreConfig): Store {
  return new LevelStore(deps, cfg);
}

/** A store that can be started and stopped around a StoreCore. */
export class LevelStore implements Store {
  readonly #deps: Required<StoreDeps>;
  readonly #path: string;
  readonly #cfg: Config["store"];
  readonly persistence: GatewayPersistence;
  #core: StoreCore | null = null;
  #database: Database | null = null;
  #stopping: Promise<void> | null = null;

  constructor(deps: StoreDeps, cfg: StoreConfig) {
    this.#deps = { driver: levelDriver, ...deps };
    this.#path = cfg.path;
    this.#cfg = cfg.store ?? defaults();
    this.persistence = new GatewayPersistence({
      clock: this.#deps.clock,
      core: () => this.core,
      database: () => this.database,
      stop: () => this.stop(),
    });
  }

  async start(signal?: AbortSignal): Promise<void> {
    const { log, clock } = this.#deps;
    const startedMs = clock.monotonicMs();
    const { loaded, setAside } = await this.#openWithRoom();
    const { core, found } = await this.#takeOver(loaded).catch(async (err: unknown) => {
      await loaded.database.close();
      throw err;
    });
    this.#core = core;
    this.#database = loaded.database;
    core.begin(found, setAside);
    const { sessions, queuedMessages } = core.status();
    const durationMs = Math.round(clock.monotonicMs() - startedMs);
    log.info({ path: this.#path, durationMs, sessions, queuedMessages }, "store open");
    if (signal?.aborted) await this.stop();
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#close();
    return this.#stopping;
  }

  async idle(): Promise<void> {
    await this.#core?.idle();
  }

  /** What the layers above EngineStore in this folder work with. @throws Error before `start`. */
  get core(): StoreCore {
    if (this.#core === null) throw new Error("the store is not started");
    return this.#core;
  }

  get database(): Database {
    if (this.#database === null) throw new Error("the store is not started");
    return this.#database;
  }

  table(name: string): RecordTable {
    return this.core.table(name);
  }

  outbox(name: string, cfg: OutboxConfig): Outbox {
    return new OutboxFace(() => this.#core, name, cfg);
  }

  discardOutbox(name: string): Promise<void> {
    return this.core.outbox(name).discard();
  }

  waiting(): readonly WaitingOutbox[] {
    return this.core.waiting();
  }

  nowMs(): number {
    return this.core.nowMs();
  }

  sessions(): AsyncIterable<readonly LoadedSession[]> {
    return this.core.sessions();
  }

  retained(): AsyncIterable<readonly LoadedRetained[]> {
    return this.core.retained();
  }

  session(clientId: string): SessionStore {
    return this.core.session(clientId);
  }

  putRetained(message: StoredMessage): void {
    this.core.putRetained(message);
  }

  deleteRetained(topic: string): void {
    this.core.deleteRetained(topic);
  }

  getRetained(topic: string): Promise<StoredMessage | null> {
    return this.core.getRetained(topic);
  }

  admit(bytes: number): StoreRefusal | null {
    return this.core.admit(bytes);
  }

  schedule(urgent: boolean): number {
    return this.core.schedule(urgent);
  }

  get settledGroup(): number {
    return this.core.settledGroup;
  }

  onSettled(listener: (group: number, error: GatewayError | null) => void): StopListening {
    return this.core.onSettled(listener);
  }

  committed(urgent: boolean): Promise<void> {
    return this.core.committed(urgent);
  }

  get state(): StoreState {
    return this.#core?.state ?? "stopped";
  }

  onState(listener: (state: StoreState) => void): StopListening {
    return this.core.onState(listener);
  }

  get pendingBytes(): number {
    return this.core.pendingBytes;
  }

  get pendingOperations(): number {
    return this.core.pendingOperations;
  }

  status(): StoreStatus {
    return this.#core?.status() ?? statusBeforeStart(this.#cfg.max_bytes);
  }

  /** Opens; when the volume is too full even for that, once more without the ballast. */
  async #openWithRoom(): Promise<Awaited<ReturnType<typeof openStore<Opened>>>> {
    const open = () => openStore(this.#deps, this.#path, () => this.#open());
    try {
      return await open();
    } catch (err) {
      if (!isDiskFull(reasonOf(err)) || !(await dropBallast(this.#path))) throw err;
      return open();
    }
  }

  async #open(): Promise<Opened> {
    const handle = this.#deps.driver.create(this.#path);
    try {
      await handle.open();
      const database = new Database(this.#deps.driver, this.#path, handle);
      const { core, found } = await this.#load(database);
      if (found.format !== null && found.format !== FORMAT) {
        const reason = `another version has written it: its layout is number ${found.format}, expected ${FORMAT}`;
        throw new UnusableStore(reason, false);
      }
      const close = () => database.close();
      return { core, database, found, damaged: found.damaged.length, close };
    } catch (err) {
      await handle.close().catch(() => {});
      throw err;
    }
  }

  async #load(database: Database): Promise<{ core: StoreCore; found: ScanResult }> {
    const { log, clock } = this.#deps;
    const core = new StoreCore(
      { log, clock, database },
      {
        path: this.#path,
        isSynced: this.#cfg.durability === "fsync",
        commitDelayMs: this.#cfg.commit_delay_ms,
        maxCommitsPerS: this.#cfg.max_commits_per_s,
        maxBytes: this.#cfg.max_bytes,
        reserveBytes: this.#cfg.free_reserve_bytes,
      },
    );
    return { core, found: await core.load() };
  }

  /** Brings what another layout left in the folder over to ours. */
  async #takeOver(opened: Opened): Promise<{ core: StoreCore; found: ScanResult }> {
    const { database, found } = opened;
    if (!found.hasForeign) return opened;
    if (found.format === null) {
      // A migration that was interrupted starts over: the old rows are all there until it is done.
      await clearTables(database, 0, FOREIGN_TABLES - 1);
      const { core } = await this.#load(database);
      await migrate(core, database, this.#deps).finally(() => core.abandon());
    }
    await clearTables(database, FOREIGN_TABLES, 0xfe);
    return this.#load(database);
  }

  async #close(): Promise<void> {
    await this.#core?.stop();
    await this.#database?.close();
  }
}

function defaults(): Config["store"] {
  const { durability, commit_delay_ms, max_commits_per_s, max_bytes, free_reserve_bytes } =
    SCHEMA.store;
  return {
    durability: durability.default,
    commit_delay_ms: commit_delay_ms.default,
    max_commits_per_s: max_commits_per_s.default,
    max_bytes: max_bytes.default,
    free_reserve_bytes: free_reserve_bytes.default,
  };
}
