import type { Clock, Timer } from "../time/index.ts";
import type { Accounting } from "./accounting.ts";
import type { ByteWriter } from "./bytes.ts";
import type { Compaction } from "./compaction.ts";
import type { Database } from "./database.ts";
import { GatewayTime, type TimeMark } from "./gateway-time.ts";
import type { Health } from "./health.ts";
import { META } from "./scan.ts";
import type { Space } from "./space.ts";

/** The time mark on disk is never older than this while commits are made, … */
const MARK_EVERY_MS = 5000;
/** … and than this while none are needed. */
const IDLE_MARK_EVERY_MS = 600_000;
/** How often the figures of the day are stored, with a commit that is made anyway. */
const FIGURES_EVERY_MS = 60_000;

/** How often the volume is asked; its files are added up every tenth time, or while there is trouble. */
const SAMPLE_EVERY_MS = 1000;
const FILES_EVERY = 10;

/** Samples without a change after which a compaction that wrote something counts as failed. */
const STUCK_SAMPLES = 3;

export interface UpkeepDeps {
  readonly clock: Clock;
  readonly database: Database;
  readonly space: Space;
  readonly health: Health;
  readonly compactions: readonly Compaction[];
  readonly accounting: Accounting;
  /** Records a row of the meta table. */
  putMeta(key: Buffer, writeValue: (out: ByteWriter) => void): void;
  /** Wants what is recorded committed at once. */
  commitNow(): void;
}

/** What the store does of its own accord: time marks, figures, samples of the disk, compactions. */
export class Upkeep {
  readonly #deps: UpkeepDeps;
  readonly #timers: Timer[] = [];
  #time: GatewayTime;
  #markedMs = Number.NEGATIVE_INFINITY;
  #figuresMs = Number.NEGATIVE_INFINITY;
  #samples = 0;
  #sampling: Promise<void> | null = null;
  /** Bytes of tables nothing refers to, and in how many samples they have been the same. */
  #leftBytes = 0;
  #stuckSamples = 0;

  constructor(deps: UpkeepDeps) {
    this.#deps = deps;
    this.#time = new GatewayTime(deps.clock, null);
  }

  /** Gateway time, ms. */
  nowMs(): number {
    return this.#time.nowMs();
  }

  /** Gateway time goes on from what was stored. */
  continueFrom(mark: TimeMark | null): void {
    this.#time = new GatewayTime(this.#deps.clock, mark);
  }

  start(): void {
    const { clock } = this.#deps;
    this.#timers.push(
      clock.every(SAMPLE_EVERY_MS, () => void this.#sample()),
      clock.every(IDLE_MARK_EVERY_MS, () => this.recordTime()),
    );
  }

  /** Records the last time mark and figures, and takes no more samples. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) timer.cancel();
    this.#figuresMs = Number.NEGATIVE_INFINITY;
    this.#recordMark();
    await this.#sampling;
  }

  /** Records what is due of time mark and figures. */
  recordTime(): void {
    const nowMs = this.nowMs();
    if (nowMs - this.#markedMs >= MARK_EVERY_MS || this.#time.hasJumped()) this.#recordMark();
  }

  #recordMark(): void {
    const { accounting, putMeta } = this.#deps;
    const nowMs = this.nowMs();
    this.#markedMs = nowMs;
    const mark = this.#time.mark();
    putMeta(META.time, (out) => {
      out.u48(mark.gatewayMs);
      out.u48(mark.wallMs);
    });
    if (nowMs - this.#figuresMs < FIGURES_EVERY_MS) return;
    this.#figuresMs = nowMs;
    putMeta(META.writes, (out) => accounting.write(out, nowMs));
  }

  async #sample(): Promise<void> {
    // A disk that does not answer must not be asked again and again.
    if (this.#sampling !== null) return;
    this.#sampling = this.#takeSamples().finally(() => {
      this.#sampling = null;
    });
    await this.#sampling;
  }

  async #takeSamples(): Promise<void> {
    const { space, health, compactions } = this.#deps;
    const count = this.#samples++;
    await space.sampleVolume();
    if (health.state !== "ready" || count % FILES_EVERY === 0) {
      await space.sampleFiles();
      await space.takeBallast();
      if (this.#time.hasJumped()) this.recordTime();
      for (const compaction of compactions) compaction.check();
      if (health.state === "full") await this.#unstick();
    }
    health.update();
  }

  /**
   * A compaction that found no room leaves its tables behind, and LevelDB does nothing more until
   * it is opened again: then it goes on, with the removals that were committed since.
   */
  async #unstick(): Promise<void> {
    const { database, commitNow } = this.#deps;
    const reclaimableBytes = await database.openingNeeds().then(
      (needs) => needs.reclaimableBytes,
      () => 0,
    );
    const isSame = reclaimableBytes > 0 && reclaimableBytes === this.#leftBytes;
    this.#leftBytes = reclaimableBytes;
    this.#stuckSamples = isSame ? this.#stuckSamples + 1 : 0;
    if (this.#stuckSamples < STUCK_SAMPLES) return;
    this.#stuckSamples = 0;
    database.distrust();
    this.#recordMark();
    commitNow();
  }
}
