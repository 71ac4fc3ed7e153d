/** Topics whose hashes are equal are treated as one. */
const CLASSES = 32_768;

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Where the last message of a topic was put. */
export interface TopicPlace {
  readonly lane: number;
  /** 0: nowhere yet. */
  readonly seq: number;
}

/**
 * In which lane messages of a topic may still wait, for any number of topics in 300 kB. Topics that
 * share a class share a lane: that costs one of them its quick way out, never its order.
 */
export class TopicPlaces {
  #seqs: Float64Array | null = null;
  #lanes: Uint8Array | null = null;

  last(topic: string): TopicPlace {
    if (this.#seqs === null || this.#lanes === null) return { lane: 0, seq: 0 };
    const at = classOf(topic);
    return { lane: this.#lanes[at] ?? 0, seq: this.#seqs[at] ?? 0 };
  }

  /** Messages are noted in any order: the last of a topic counts. */
  note(topic: string, seq: number, lane: number): void {
    this.#seqs ??= new Float64Array(CLASSES);
    this.#lanes ??= new Uint8Array(CLASSES);
    const at = classOf(topic);
    if (seq < (this.#seqs[at] ?? 0)) return;
    this.#seqs[at] = seq;
    this.#lanes[at] = lane;
  }
}

function classOf(topic: string): number {
  let hash = FNV_OFFSET;
  for (let i = 0; i < topic.length; i++) {
    hash = Math.imul(hash ^ topic.charCodeAt(i), FNV_PRIME);
  }
  return ((hash >>> 15) ^ hash) & (CLASSES - 1);
}
