import type { Gaps } from "./gaps.ts";
import type { OutboxHost } from "./outbox-host.ts";
import { isPatient, type Unwritten, type UnwrittenEntries } from "./unwritten.ts";

/** What a commit under way writes of one lane. */
interface InFlight {
  /** It holds every entry below this sequence. */
  readonly boundary: number;
  readonly dead: number[];
  readonly isStateDirty: boolean;
  readonly gaps: readonly string[];
  /** As they are written. */
  readonly chunks: { readonly entries: readonly Unwritten[] }[];
  readonly uncertain: readonly number[];
}

/** What a lane has to write: its share of the open group, and of the one in flight. */
export class GroupShare {
  readonly #host: Pick<OutboxHost, "pending" | "recorded">;
  readonly #list: () => void;
  readonly #gaps: Gaps;
  readonly #unwritten: UnwrittenEntries;

  #messages = 0;
  #bytes = 0;
  /** Of the messages, those that commits leave out for some time. */
  #patient = 0;
  /** Chunks whose entries are all gone, by their first sequence. */
  #dead: number[] = [];
  #isStateDirty = false;
  /** Rows a failed commit may have left. */
  readonly #uncertain = new Set<number>();
  #inFlight: InFlight | null = null;

  #isListed = false;
  #countedOperations = 0;
  #countedBytes = 0;

  /** @param list makes the lane part of the open group */
  constructor(
    host: Pick<OutboxHost, "pending" | "recorded">,
    list: () => void,
    gaps: Gaps,
    unwritten: UnwrittenEntries,
  ) {
    this.#host = host;
    this.#list = list;
    this.#gaps = gaps;
    this.#unwritten = unwritten;
  }

  /** An entry came. */
  entered(entry: Unwritten): void {
    this.#messages++;
    this.#bytes += entry.kept.bytes;
    if (isPatient(entry)) this.#patient++;
  }

  /** An entry went before it was known to be on disk; false when it is in flight. */
  left(entry: Unwritten): boolean {
    const { seq, bytes } = entry.kept;
    if (this.#inFlight !== null && seq < this.#inFlight.boundary) return false;
    this.#messages--;
    this.#bytes -= bytes;
    if (isPatient(entry)) this.#patient--;
    return true;
  }

  /** Entries that commits leave out for some time, and until when the first of them; monotonic ms. */
  patience(): { readonly messages: number; readonly untilMs: number } {
    let untilMs = Number.POSITIVE_INFINITY;
    if (this.#patient > 0) {
      for (const entry of this.#unwritten.range(this.#inFlight?.boundary ?? 0)) {
        if (!isPatient(entry)) continue;
        untilMs = entry.dueMs;
        break;
      }
    }
    return { messages: this.#patient, untilMs };
  }

  stateChanged(): void {
    this.#isStateDirty = true;
  }

  /** The chunk that begins with `first` is to be deleted. */
  bury(first: number): void {
    this.#dead.push(first);
  }

  isUncertain(first: number): boolean {
    return this.#uncertain.has(first);
  }

  /** Whether something that is to be written, or deleted, has this sequence or a lower one. */
  mayHold(seq: number): boolean {
    if (this.#dead.some((first) => first <= seq)) return true;
    for (const first of this.#uncertain) if (first <= seq) return true;
    const { dead = [], chunks = [] } = this.#inFlight ?? {};
    return (
      dead.some((first) => first <= seq) ||
      chunks.some(({ entries }) => (entries[0]?.kept.seq ?? 0) <= seq)
    );
  }

  get inFlight(): InFlight | null {
    return this.#inFlight;
  }

  /** The first sequence of what is being written. */
  get firstInFlight(): number | undefined {
    return this.#inFlight?.chunks[0]?.entries[0]?.kept.seq;
  }

  /** The open group is closed; it holds every entry below `boundary`. The others go to the next one. */
  freeze(boundary: number): void {
    this.#isListed = false;
    this.#countedOperations = 0;
    this.#countedBytes = 0;
    this.#inFlight = {
      boundary,
      dead: this.#dead,
      isStateDirty: this.#isStateDirty,
      gaps: [...this.#gaps.dirty],
      chunks: [],
      uncertain: [...this.#uncertain],
    };
    this.#dead = [];
    this.#isStateDirty = false;
    this.#gaps.dirty.clear();
    this.#messages = 0;
    this.#bytes = 0;
    this.#patient = 0;
    for (const entry of this.#unwritten.range(boundary)) this.entered(entry);
    if (this.#messages > 0) this.changed();
  }

  /** The group in flight is on disk: the chunks it wrote; null when there was none. */
  land(): InFlight["chunks"] | null {
    const landed = this.#inFlight;
    if (landed === null) return null;
    this.#inFlight = null;
    this.#unwritten.written(landed.boundary);
    for (const first of landed.uncertain) this.#uncertain.delete(first);
    return landed.chunks;
  }

  /** The group in flight may or may not be on disk: it is open again. */
  restore(): void {
    const failed = this.#inFlight;
    this.#inFlight = null;
    this.#isListed = true;
    this.#countedOperations = 0;
    this.#countedBytes = 0;
    if (failed === null) return;
    for (const each of this.#unwritten.range(0, failed.boundary)) {
      this.entered(each);
      each.hasFailed = true;
    }
    this.#dead = failed.dead.concat(this.#dead);
    this.#isStateDirty ||= failed.isStateDirty;
    for (const topic of failed.gaps) this.#gaps.dirty.add(topic);
    for (const { entries } of failed.chunks) this.#uncertain.add(entries[0]?.kept.seq ?? 0);
  }

  /** Operations in the open group, and their topic and payload bytes. */
  recount(): { operations: number; bytes: number } {
    this.#countedOperations = this.#operations;
    this.#countedBytes = this.#bytes;
    return { operations: this.#countedOperations, bytes: this.#countedBytes };
  }

  /** Tells the open group what there is to write now. */
  changed(): void {
    const { pending, recorded } = this.#host;
    const operations = this.#operations;
    if (!this.#isListed) {
      if (operations === 0) return;
      this.#isListed = true;
      this.#list();
    }
    pending.open.operations += operations - this.#countedOperations;
    pending.open.bytes += this.#bytes - this.#countedBytes;
    this.#countedOperations = operations;
    this.#countedBytes = this.#bytes;
    recorded();
  }

  get #operations(): number {
    return (
      this.#messages +
      this.#dead.length +
      (this.#isStateDirty ? 1 : 0) +
      this.#gaps.dirty.size +
      (this.#inFlight === null ? this.#uncertain.size : 0)
    );
  }
}
