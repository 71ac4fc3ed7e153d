import { GatewayError } from "../errors/index.ts";
import type { Clock } from "../time/index.ts";
import type { Accounting } from "./accounting.ts";
import type { Bodies } from "./bodies.ts";
import { ByteWriter } from "./bytes.ts";
import type { CommitSource } from "./commit-loop.ts";
import type { Database } from "./database.ts";
import { type EncodedGroup, GroupWriter } from "./group-writer.ts";
import type { Group, Pending } from "./pending.ts";
import type { Space } from "./space.ts";

export interface CommitterDeps {
  readonly clock: Clock;
  readonly database: Database;
  readonly pending: Pending;
  readonly bodies: Bodies;
  readonly accounting: Accounting;
  readonly space: Space;
  /** Gateway time, ms. */
  nowMs(): number;
  /** A group is about to be closed: the last chance to record something into it. */
  beforeCommit(): void;
}

/** Writes groups, and keeps what is known in memory in step with what is on disk. */
export class Committer implements CommitSource {
  readonly #deps: CommitterDeps;
  readonly #isSynced: boolean;
  readonly #out = new ByteWriter();
  commits = 0;
  failedCommits = 0;
  lastCommitMs = 0;
  longestCommitMs = 0;
  /** The newest failure was for want of room. */
  #wasFull = false;

  constructor(deps: CommitterDeps, cfg: { isSynced: boolean }) {
    this.#deps = deps;
    this.#isSynced = cfg.isSynced;
  }

  get openOperations(): number {
    return this.#deps.pending.open.operations;
  }

  patience(): { readonly operations: number; readonly untilMs: number } {
    let operations = 0;
    let untilMs = Number.POSITIVE_INFINITY;
    for (const outbox of this.#deps.pending.open.outboxes) {
      const lane = outbox.patience();
      operations += lane.messages;
      untilMs = Math.min(untilMs, lane.untilMs);
    }
    return { operations, untilMs };
  }

  async commit(isAll: boolean): Promise<void> {
    const { pending, clock } = this.#deps;
    const startedMs = clock.monotonicMs();
    try {
      await this.#makeWritable();
      this.#deps.beforeCommit();
      const group = pending.freeze(isAll);
      this.#landed(group, await this.#write(group));
    } catch (err) {
      pending.restore();
      if (err instanceof GatewayError) {
        this.failedCommits++;
        this.#wasFull = err.code === "STORE_FULL";
      }
      throw err;
    }
    this.#wasFull = false;
    this.commits++;
    this.lastCommitMs = clock.monotonicMs() - startedMs;
    this.longestCommitMs = Math.max(this.longestCommitMs, this.lastCommitMs);
  }

  async #makeWritable(): Promise<void> {
    const { database, space } = this.#deps;
    if (!database.isBroken) return;
    if (this.#wasFull) await this.#findRoom();
    await database.reopen();
    await space.sampleVolume();
  }

  /** As long as there is no room to open the folder again it stays open: it can still be read. */
  async #findRoom(): Promise<void> {
    const { database, space } = this.#deps;
    await space.dropBallast();
    const { neededBytes, reclaimableBytes } = await database.openingNeeds();
    if (space.freeBytes + reclaimableBytes >= neededBytes) return;
    const reason = `${space.freeBytes} bytes are free on its volume, ${neededBytes} are needed`;
    throw new GatewayError("STORE_FULL", { reason });
  }

  async #write(group: Group): Promise<EncodedGroup> {
    const { database, bodies } = this.#deps;
    const batch = database.batch();
    const encoded = await new GroupWriter(group, batch, bodies, this.#out).encode();
    if (encoded.cost.isEmpty) await batch.close();
    else await database.write(batch, this.#isSynced);
    return encoded;
  }

  #landed(group: Group, encoded: EncodedGroup): void {
    const { pending, bodies, accounting, space } = this.#deps;
    for (const [body, change] of encoded.bodyUses) bodies.use(body, change);
    const bodyOf = group.bodies.size === 0 ? () => 0 : bodyIn(group);
    for (const session of group.sessions) session.land(bodyOf);
    for (const outbox of group.outboxes) outbox.land();
    pending.settle();
    if (encoded.cost.isEmpty) return;
    accounting.committed(encoded.cost, this.#isSynced, this.#deps.nowMs());
    space.written(encoded.cost.totalBytes);
  }
}

function bodyIn({ bodies }: Group): (message: Parameters<typeof bodies.get>[0]) => number {
  return (message) => bodies.get(message) ?? 0;
}
