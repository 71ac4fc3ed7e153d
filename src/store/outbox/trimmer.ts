import { isGatewayError } from "../../errors/index.ts";
import type { OutboxDropReason } from "../../mqtt/index.ts";
import { outboxChunks, seqOfChunkKey } from "../keys.ts";
import { parseRow } from "../reader.ts";
import { openValue } from "../value.ts";
import { type KeptEntry, readChunk } from "./chunk-codec.ts";
import type { LaneKin } from "./lane-kin.ts";
import { type OutboxHost, ROWS_PER_READ } from "./outbox-host.ts";
import { LastOfTopics, Moves } from "./thinning.ts";

/** Messages dropped in one turn of the event loop. */
const DROPS_PER_TURN = 500;

/** The lane that is trimmed. */
export interface TrimmedLane {
  /** Of its rows. */
  readonly name: string;
  /** When the first entry that has not been read was appended; gateway time, ms. */
  unreadMs(): number;
  /** The same of the oldest entry; null when there is none. */
  oldestMs(): number | null;
  /** The oldest entry that is not on its way: "disk" = it has to be read first. */
  nextWaiting(): KeptEntry | "disk" | null;
  readMore(): Promise<void>;
  drop(entry: KeptEntry, reason: OutboxDropReason): void;
  /** Appends it again, with its place in the order given up. */
  moveToEnd(entry: KeptEntry): void;
}

/** Decides which messages of a lane give way at a bound, and which are too old. */
export class Trimmer {
  readonly #host: OutboxHost;
  readonly #kin: LaneKin;
  readonly #lane: number;
  readonly #of: TrimmedLane;
  readonly #lastOfTopics = new LastOfTopics();
  readonly #moves = new Moves();
  #trimming: Promise<void> | null = null;

  constructor(host: OutboxHost, kin: LaneKin, lane: number, of: TrimmedLane) {
    this.#host = host;
    this.#kin = kin;
    this.#lane = lane;
    this.#of = of;
  }

  /** A message came. */
  appended(): void {
    this.#moves.appended();
  }

  /** It, or one that moved, has this sequence. */
  placed(topic: string, seq: number): void {
    if (this.#isThinned) this.#lastOfTopics.note(topic, seq);
  }

  /** There are entries from an earlier run, whose topics are not known. */
  foundOnDisk(): void {
    this.#lastOfTopics.isComplete = false;
  }

  /** Drops what is over a bound, if this lane is the one to give way, or too old. */
  trim(): void {
    if (this.#trimming !== null) return;
    if (!this.#givesWay() && !this.#isTooOld(this.#of.oldestMs() ?? Number.POSITIVE_INFINITY)) {
      return;
    }
    if (this.#trimInMemory(Number.POSITIVE_INFINITY) === "done") return;
    this.#trimming = this.#trimOnDisk().finally(() => {
      this.#trimming = null;
    });
  }

  /** Resolves when nothing is being read to be dropped. */
  async idle(): Promise<void> {
    await this.#trimming;
  }

  #trimInMemory(limit: number): "done" | "more" | "disk" {
    if (this.#isThinned && !this.#lastOfTopics.isComplete) return "disk";
    for (let i = 0; i < limit; i++) {
      const next = this.#of.nextWaiting();
      if (next === null) return "done";
      if (next === "disk") {
        return this.#givesWay() || this.#isTooOld(this.#of.unreadMs()) ? "disk" : "done";
      }
      if (this.#givesWay()) this.#giveWay(next);
      else if (this.#isTooOld(next.atMs)) this.#of.drop(next, "too_old");
      else return "done";
    }
    return "more";
  }

  async #trimOnDisk(): Promise<void> {
    try {
      if (this.#isThinned && !this.#lastOfTopics.isComplete) await this.#learnTopics();
      for (;;) {
        const outcome = this.#trimInMemory(DROPS_PER_TURN);
        if (outcome === "done") return;
        if (outcome === "disk") await this.#of.readMore();
        await new Promise((resolve) => setImmediate(resolve));
      }
    } catch (err) {
      if (!isGatewayError(err)) throw err;
      this.#host.log.warn({ code: err.code, err: err.message }, "an outbox could not be trimmed");
    }
  }

  /** Which message is the last of its topic is not known after a restart. */
  async #learnTopics(): Promise<void> {
    const { database, onDamage } = this.#host;
    for await (const rows of database.rows(outboxChunks(this.#of.name), ROWS_PER_READ)) {
      for (const [key, value] of rows) {
        const parse = () => readChunk(openValue(key, value), seqOfChunkKey(key));
        for (const { message, seq } of parseRow(key, parse, onDamage) ?? []) {
          this.#lastOfTopics.note(message.topic, seq);
        }
      }
    }
    this.#lastOfTopics.isComplete = true;
  }

  /** The outbox is full: the message is dropped, or moves to the end if it is to be kept longest. */
  #giveWay(entry: KeptEntry): void {
    const isLast = this.#isThinned && this.#lastOfTopics.isLast(entry.message.topic, entry.seq);
    if ((entry.isReport || isLast) && this.#moves.take()) this.#of.moveToEnd(entry);
    else this.#of.drop(entry, "queue_full");
  }

  get #isThinned(): boolean {
    return this.#kin.cfg.policy === "keep_last_per_topic";
  }

  #givesWay(): boolean {
    return this.#kin.isOver(0, 0) && this.#kin.isOldest(this.#lane);
  }

  #isTooOld(atMs: number): boolean {
    const { maxAgeMs } = this.#kin.cfg;
    return maxAgeMs > 0 && this.#host.nowMs() - atMs > maxAgeMs;
  }
}
