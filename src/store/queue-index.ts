/** Entries removed from the middle are cut out once there are this many, and more than are left. */
const COMPACT_ABOVE = 64;

/** An entry that is gone but still has its place in the arrays. */
const GONE = -1;

/**
 * What is known of one session's entries on disk: sequence, size and body of each, ordered by
 * sequence, in three flat arrays (about 20 bytes an entry). Entries come at the end and leave mostly
 * from the front. An entry whose removal is recorded but not committed is no longer in here.
 */
export class QueueIndex {
  #seqs: number[] = [];
  /** Topic and payload bytes, 0 for a released entry, GONE for a removed one. */
  #sizes: number[] = [];
  /** Body number, 0 = none. */
  #bodies: number[] = [];
  #head = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Lowest sequence, -1 when empty. */
  get first(): number {
    return this.#count === 0 ? -1 : (this.#seqs[this.#head] ?? -1);
  }

  /** Highest sequence, -1 when empty. */
  get last(): number {
    for (let i = this.#seqs.length - 1; i >= this.#head; i--) {
      if (this.#sizes[i] !== GONE) return this.#seqs[i] ?? -1;
    }
    return -1;
  }

  /** Adds an entry; one with the same sequence is replaced. */
  add(seq: number, bytes: number, body: number): void {
    let at = this.#seqs.length;
    if (at > this.#head && (this.#seqs[at - 1] ?? -1) >= seq) {
      at = this.#lowerBound(seq);
      if (this.#seqs[at] === seq) {
        if (this.#sizes[at] === GONE) this.#count++;
        this.#sizes[at] = bytes;
        this.#bodies[at] = body;
        return;
      }
      this.#seqs.splice(at, 0, seq);
      this.#sizes.splice(at, 0, bytes);
      this.#bodies.splice(at, 0, body);
    } else {
      this.#seqs.push(seq);
      this.#sizes.push(bytes);
      this.#bodies.push(body);
    }
    this.#count++;
  }

  has(seq: number): boolean {
    return this.#find(seq) >= 0;
  }

  /** Topic and payload bytes, 0 for a released entry, -1 without one. */
  bytesOf(seq: number): number {
    return this.#sizes[this.#find(seq)] ?? -1;
  }

  /** The entry's body, 0 = none. */
  bodyOf(seq: number): number {
    return this.#bodies[this.#find(seq)] ?? 0;
  }

  /** The entry no longer has a message. */
  release(seq: number): void {
    const at = this.#find(seq);
    if (at < 0) return;
    this.#sizes[at] = 0;
    this.#bodies[at] = 0;
  }

  remove(seq: number): void {
    const at = this.#find(seq);
    if (at < 0) return;
    this.#sizes[at] = GONE;
    this.#count--;
    if (this.#count === 0) {
      this.#keepFrom(this.#seqs.length);
      return;
    }
    if (at === this.#head) this.#skipGone();
    else if (this.#seqs.length - this.#head > 2 * this.#count + COMPACT_ABOVE) this.#cutOut();
  }

  /**
   * The sequences ≥ `from`, at most `maxCount`, ending with the one that reaches `maxBytes`: first
   * and last of them with their number and bytes, or null when there is none.
   */
  span(
    from: number,
    maxCount: number,
    maxBytes: number,
  ): { first: number; last: number; count: number; bytes: number } | null {
    let count = 0;
    let bytes = 0;
    let first = -1;
    let last = -1;
    for (let i = this.#lowerBound(from); i < this.#seqs.length; i++) {
      const size = this.#sizes[i] ?? GONE;
      if (size === GONE) continue;
      last = this.#seqs[i] ?? -1;
      if (count === 0) first = last;
      count++;
      bytes += size;
      if (count >= maxCount || bytes >= maxBytes) break;
    }
    return count === 0 ? null : { first, last, count, bytes };
  }

  /** The sequences from `from` to `to`. */
  sequences(from: number, to: number): number[] {
    const found: number[] = [];
    for (let i = this.#lowerBound(from); i < this.#seqs.length; i++) {
      const seq = this.#seqs[i] ?? 0;
      if (seq > to) break;
      if (this.#sizes[i] !== GONE) found.push(seq);
    }
    return found;
  }

  #find(seq: number): number {
    const at = this.#seqs[this.#head] === seq ? this.#head : this.#lowerBound(seq);
    return this.#seqs[at] === seq && this.#sizes[at] !== GONE ? at : -1;
  }

  /** The first place at or behind which every sequence is ≥ `seq`. */
  #lowerBound(seq: number): number {
    let low = this.#head;
    let high = this.#seqs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#seqs[middle] ?? 0) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #skipGone(): void {
    while (this.#sizes[this.#head] === GONE) this.#head++;
    if (this.#head > COMPACT_ABOVE && this.#head * 2 > this.#seqs.length) {
      this.#keepFrom(this.#head);
    }
  }

  #keepFrom(at: number): void {
    this.#seqs = this.#seqs.slice(at);
    this.#sizes = this.#sizes.slice(at);
    this.#bodies = this.#bodies.slice(at);
    this.#head = 0;
  }

  #cutOut(): void {
    const isLeft = (_: number, i: number) => i >= this.#head && this.#sizes[i] !== GONE;
    const seqs = this.#seqs.filter(isLeft);
    const bodies = this.#bodies.filter(isLeft);
    this.#sizes = this.#sizes.filter(isLeft);
    this.#seqs = seqs;
    this.#bodies = bodies;
    this.#head = 0;
  }
}
