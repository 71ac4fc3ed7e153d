import type { KeptEntry } from "./chunk-codec.ts";

/** An entry that is gone but still in the row on disk. */
const GONE = -1;

/** What is known of a chunk that some of is on its way, or is about to be. */
export class Chunk {
  readonly first: number;
  readonly last: number;
  /** Entries that are not gone. */
  left: number;
  /** Null once all of it was handed out: read again if it is wanted again. */
  entries: readonly KeptEntry[] | null;
  readonly #seqs: number[] = [];
  readonly #bytes: number[] = [];
  readonly #atMs: number[] = [];

  constructor(entries: readonly KeptEntry[], isGone: (seq: number) => boolean) {
    this.entries = entries;
    this.first = entries[0]?.seq ?? 0;
    this.last = entries.at(-1)?.seq ?? 0;
    this.left = 0;
    for (const { seq, bytes, atMs } of entries) {
      const isLeft = !isGone(seq);
      if (isLeft) this.left++;
      this.#seqs.push(seq);
      this.#bytes.push(isLeft ? bytes : GONE);
      this.#atMs.push(atMs);
    }
  }

  /** When the first entry that is left was appended; gateway time, ms. */
  get oldestMs(): number {
    return this.#atMs[this.#bytes.findIndex((bytes) => bytes !== GONE)] ?? 0;
  }

  get isPartial(): boolean {
    return this.left > 0 && this.left < this.#seqs.length;
  }

  gone(): number[] {
    return this.#seqs.filter((_, i) => this.#bytes[i] === GONE);
  }

  has(seq: number): boolean {
    return this.#bytesAt(placeOf(this.#seqs, seq), seq) !== GONE;
  }

  /** Topic and payload bytes of the entry that is gone from now on; -1 when it is not there. */
  remove(seq: number): number {
    const at = placeOf(this.#seqs, seq);
    const bytes = this.#bytesAt(at, seq);
    if (bytes === GONE) return GONE;
    this.#bytes[at] = GONE;
    this.left--;
    return bytes;
  }

  /** The entries with sequence ≥ `from` that are left; they must be in memory. */
  *from(from: number): Generator<KeptEntry> {
    const entries = this.entries ?? [];
    for (let at = placeOf(this.#seqs, from); at < entries.length; at++) {
      const entry = entries[at];
      if (entry !== undefined && this.#bytes[at] !== GONE) yield entry;
    }
  }

  #bytesAt(at: number, seq: number): number {
    return this.#seqs[at] === seq ? (this.#bytes[at] ?? GONE) : GONE;
  }
}

/** The chunks at the head of an outbox that are known, in order. */
export class KnownChunks {
  #chunks: Chunk[] = [];

  get head(): Chunk | undefined {
    return this.#chunks[0];
  }

  [Symbol.iterator](): Iterator<Chunk> {
    return this.#chunks[Symbol.iterator]();
  }

  push(chunk: Chunk): void {
    this.#chunks.push(chunk);
  }

  /** The first chunk that ends at or behind `seq`. */
  at(seq: number): Chunk | undefined {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#chunks[middle]?.last ?? 0) < seq) low = middle + 1;
      else high = middle;
    }
    return this.#chunks[low];
  }

  remove(chunk: Chunk): void {
    if (this.#chunks[0] === chunk) this.#chunks.shift();
    else this.#chunks.splice(this.#chunks.indexOf(chunk), 1);
  }

  clear(): void {
    this.#chunks = [];
  }
}

/** The first place in ascending numbers at or behind which all are ≥ `seq`. */
function placeOf(seqs: readonly number[], seq: number): number {
  let low = 0;
  let high = seqs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((seqs[middle] ?? 0) < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}
