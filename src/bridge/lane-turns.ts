import { OUTBOX_LANES } from "../mqtt/index.ts";

/** Of what the link takes, the longest lane has one part in so many, however much goes past it. */
const LONGEST_PART = 8;

/** A lane whose turn it is, and its share of the room there is then. */
export interface Turn {
  readonly lane: number;
  readonly share: number;
}

/**
 * Who sends first: the shortest lane, which holds what is live. A backlog takes whatever the others
 * leave, and an eighth in any case.
 */
export class LaneTurns {
  readonly #depth: (lane: number) => number;
  /** Messages that went past the longest lane since it had its part. */
  #passedBy = 0;
  #longest: number | null = null;

  constructor(depth: (lane: number) => number) {
    this.#depth = depth;
  }

  next(): readonly Turn[] {
    const lanes: number[] = [];
    for (let lane = 0; lane < OUTBOX_LANES; lane++) if (this.#depth(lane) > 0) lanes.push(lane);
    this.#longest = null;
    if (lanes.length < 2) return lanes.map((lane) => ({ lane, share: 1 }));
    const turns = lanes
      .toSorted((a, b) => this.#depth(a) - this.#depth(b))
      .map((lane) => ({ lane, share: 1 }));
    const longest = turns.at(-1)?.lane ?? 0;
    this.#longest = longest;
    if (this.#passedBy < LONGEST_PART - 1) return turns;
    return [{ lane: longest, share: 1 / LONGEST_PART }, ...turns];
  }

  sent(lane: number): void {
    if (this.#longest === null) return;
    if (lane === this.#longest) this.#passedBy = 0;
    else this.#passedBy += 1;
  }
}
