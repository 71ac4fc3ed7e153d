import { GatewayError } from "../errors/index.ts";
import { type Clock, createBackoff, type Timer } from "../time/index.ts";

/** Operations nobody waits for (removals) are committed within this time. */
const LAZY_COMMIT_MS = 500;

/** So many operations in the open group are committed without being asked for. */
const FULL_GROUP_OPERATIONS = 8192;

/** A group of so many operations is worth its wait for the disk, however soon after the last one. */
const PACED_GROUP_OPERATIONS = 256;

/** Delays between attempts while commits fail. */
const RETRY = { minMs: 250, maxMs: 2000 } as const;

/** What is committed, and how. */
export interface CommitSource {
  /** Operations recorded in the open group, cancelled ones not counted. */
  readonly openOperations: number;
  /**
   * How many of them keep a message for the cloud, which may make them superfluous, and until when the
   * first of those has patience; monotonic ms, infinite without one.
   */
  patience(): { readonly operations: number; readonly untilMs: number };
  /**
   * Takes the open group and writes it; unless `isAll`, without what has patience. When that fails its
   * operations are back in the open group.
   * @throws GatewayError STORE_FULL or STORE_WRITE_FAILED (rejects).
   */
  commit(isAll: boolean): Promise<void>;
}

type SettledListener = (group: number, error: GatewayError | null) => void;

interface Waiter {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: GatewayError) => void;
}

/** Decides when groups are committed: one at a time, what comes meanwhile together afterwards. */
export class CommitLoop {
  readonly #clock: Clock;
  readonly #delayMs: number;
  readonly #minIntervalMs: number;
  readonly #source: CommitSource;
  readonly #listeners = new Set<SettledListener>();
  readonly #waiters = new Map<number, Waiter>();
  readonly #backoff = createBackoff(RETRY);
  #openGroup = 1;
  #settledGroup = 0;
  #isBusy = false;
  #isDown = false;
  #isStopping = false;
  #isStopped = false;
  #isRequested = false;
  /** Somebody asked for the open group to be committed as soon as the one in flight is done. */
  #isUrgent = false;
  /** Small groups are not committed before this, monotonic ms. */
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #paceTimer: Timer | null = null;
  #delayTimer: Timer | null = null;
  /** For what may become superfluous, and when it fires, monotonic ms. */
  #patientTimer: Timer | null = null;
  #patientDueMs = 0;
  #lazyTimer: Timer | null = null;

  /** @param cfg.minIntervalMs time between the starts of two commits of small groups; 0 = none */
  constructor(
    deps: { clock: Clock; source: CommitSource },
    cfg: { delayMs: number; minIntervalMs: number },
  ) {
    this.#clock = deps.clock;
    this.#source = deps.source;
    this.#delayMs = cfg.delayMs;
    this.#minIntervalMs = cfg.minIntervalMs;
  }

  get settledGroup(): number {
    return this.#settledGroup;
  }

  /** The newest attempt failed, and the next one waits for its time. */
  get isDown(): boolean {
    return this.#isDown;
  }

  /** To be called after every recorded operation. */
  recorded(): void {
    if (this.#lazyTimer === null) {
      this.#lazyTimer = this.#clock.after(LAZY_COMMIT_MS, () => {
        this.#lazyTimer = null;
        this.#requestWhenDue();
      });
    }
    const { openOperations } = this.#source;
    if (openOperations === FULL_GROUP_OPERATIONS) this.#request();
    else if (this.#paceTimer !== null && openOperations >= PACED_GROUP_OPERATIONS) this.#request();
  }

  schedule(isUrgent: boolean): number {
    if (this.#source.openOperations === 0) return this.#openGroup - 1;
    if (isUrgent) this.#request();
    else if (this.#delayTimer === null && !this.#isUrgent) {
      this.#delayTimer = this.#clock.after(this.#delayMs, () => {
        this.#delayTimer = null;
        this.#request();
      });
    }
    return this.#openGroup;
  }

  /** Something recorded has patience until then, monotonic ms, and is to be committed if it is still there. */
  scheduleBy(dueMs: number): void {
    if (this.#patientTimer !== null && this.#patientDueMs <= dueMs) return;
    const waitMs = dueMs - this.#clock.monotonicMs();
    if (waitMs <= 0) {
      this.schedule(true);
      return;
    }
    this.#patientTimer?.cancel();
    this.#patientDueMs = dueMs;
    this.#patientTimer = this.#clock.after(waitMs, () => {
      this.#patientTimer = null;
      this.#requestWhenDue();
    });
  }

  committed(isUrgent: boolean): Promise<void> {
    const group = this.schedule(isUrgent);
    if (group <= this.#settledGroup) return Promise.resolve();
    if (this.#isStopped) return Promise.reject(stoppedError());
    let waiter = this.#waiters.get(group);
    if (waiter === undefined) {
      waiter = Promise.withResolvers<void>();
      this.#waiters.set(group, waiter);
    }
    return waiter.promise;
  }

  onSettled(listener: SettledListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends waiting for a retry: what kept commits from getting through may be gone. */
  retryNow(): void {
    if (!this.#isDown || this.#isStopped) return;
    this.#isDown = false;
    this.#request();
  }

  /** Commits what is there, once, and takes no more. Waiters of a failed attempt are told. */
  async stop(): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#isDown = false;
    await this.#flush().catch(() => {});
    this.abandon();
  }

  /** Commits nothing more. */
  abandon(): void {
    this.#isStopping = true;
    this.#isStopped = true;
    this.#cancelTimers();
    for (const waiter of this.#waiters.values()) waiter.reject(stoppedError());
    this.#waiters.clear();
  }

  /** Everything recorded before is committed; once more when that has recorded something itself. */
  async #flush(): Promise<void> {
    await this.committed(true);
    await this.committed(true);
  }

  /** What was scheduled first may be gone, and the rest younger. */
  #requestWhenDue(): void {
    const { operations, untilMs } = this.#source.patience();
    const isAllPatient = operations > 0 && operations === this.#source.openOperations;
    if (isAllPatient && untilMs > this.#clock.monotonicMs()) this.scheduleBy(untilMs);
    else this.#request();
  }

  #request(): void {
    if (this.#isBusy || this.#isDown) {
      this.#isUrgent = true;
      return;
    }
    if (this.#isRequested || this.#isStopped) return;
    const waitMs = this.#paceMs();
    if (waitMs > 0) {
      this.#paceTimer ??= this.#clock.after(waitMs, () => {
        this.#paceTimer = null;
        this.#request();
      });
      return;
    }
    this.#isRequested = true;
    // The end of this turn: everything the sockets delivered in it goes into one group.
    setImmediate(() => void this.#run());
  }

  /** How long the open group must wait for company. */
  #paceMs(): number {
    if (this.#isStopping || this.#source.openOperations >= PACED_GROUP_OPERATIONS) return 0;
    return this.#minIntervalMs === 0 ? 0 : this.#notBeforeMs - this.#clock.monotonicMs();
  }

  async #run(): Promise<void> {
    this.#isRequested = false;
    if (this.#isBusy || this.#isDown || this.#isStopped) return;
    this.#cancelTimers();
    this.#isUrgent = false;
    const group = this.#openGroup++;
    if (this.#source.openOperations === 0) {
      this.#settle(group, null);
      return;
    }
    this.#isBusy = true;
    this.#notBeforeMs = this.#clock.monotonicMs() + this.#minIntervalMs;
    const error = await this.#attempt();
    this.#isBusy = false;
    if (error === null) this.#backoff.reset();
    else this.#retryLater();
    this.#settle(group, error);
    if (this.#source.openOperations > 0) {
      this.recorded();
      const { operations, untilMs } = this.#source.patience();
      if (operations > 0) this.scheduleBy(untilMs);
      if (this.#isUrgent) this.#request();
    }
  }

  async #attempt(): Promise<GatewayError | null> {
    try {
      await this.#source.commit(this.#isStopping);
      return null;
    } catch (err) {
      if (err instanceof GatewayError) return err;
      throw err;
    }
  }

  #retryLater(): void {
    // A store that is being stopped has no time: what is asked for is tried at once, and once.
    if (this.#isStopping) return;
    this.#isDown = true;
    this.#clock.after(this.#backoff.nextMs(), () => this.retryNow());
  }

  #settle(group: number, error: GatewayError | null): void {
    this.#settledGroup = group;
    for (const listener of this.#listeners) listener(group, error);
    const waiter = this.#waiters.get(group);
    if (waiter === undefined) return;
    this.#waiters.delete(group);
    if (error === null) waiter.resolve();
    else waiter.reject(error);
  }

  #cancelTimers(): void {
    this.#paceTimer?.cancel();
    this.#paceTimer = null;
    this.#delayTimer?.cancel();
    this.#delayTimer = null;
    this.#patientTimer?.cancel();
    this.#patientTimer = null;
    this.#lazyTimer?.cancel();
    this.#lazyTimer = null;
  }
}

function stoppedError(): GatewayError {
  return new GatewayError("STORE_WRITE_FAILED", { reason: "the store is stopped" });
}
