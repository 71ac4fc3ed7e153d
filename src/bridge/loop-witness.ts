import type { Message } from "../mqtt/index.ts";
import { senderOf } from "./copy-table.ts";

/** Topics that one window may hold; one with more tells nothing. */
const MAX_TOPICS = 512;

interface Tale {
  /** A bridge has brought a message of it. */
  isForeign: boolean;
  /** Heard in this window, or in this hold. */
  isHeard: boolean;
  /** Heard in every hold since it is listened for: it comes by itself. */
  isSteady: boolean;
}

/**
 * Hears who could have been told here that a message went out, and so have published the next one: an
 * application that waits for an answer gets it, each time, between what goes out and what comes. A topic
 * that was heard each time is an answer, unless it comes while everything is held as well; that is no
 * excuse for what bridges bring, where others may use the topic too. What the returner itself brings is
 * no news to it.
 */
export class Witness {
  readonly #topic: string;
  readonly #returner: number;
  /** Topics heard in every window so far; null before the first. */
  #tales: Map<string, Tale> | null = null;
  #first: Map<string, Tale> | null = null;
  #isOverfull = false;
  #windows = 0;

  constructor(topic: string, returner: number) {
    this.#topic = topic;
    this.#returner = returner;
  }

  /** Windows that have told something. */
  get windows(): number {
    return this.#windows;
  }

  /** An application may have been told, by a bridge. */
  get isToldFromAfar(): boolean {
    return this.#some((tale) => tale.isForeign);
  }

  /** Nobody here can have been told. */
  get isClear(): boolean {
    return this.#windows > 0 && !this.#some((tale) => tale.isForeign || !tale.isSteady);
  }

  hear({ topic, origin }: Message): void {
    if (topic === this.#topic || senderOf(origin) === this.#returner) return;
    const isForeign =
      origin.kind === "bridge" || (origin.kind === "client" && origin.isBridge === true);
    const known = (this.#tales ?? this.#first)?.get(topic);
    if (known !== undefined) {
      known.isHeard = true;
      if (isForeign) known.isForeign = true;
    } else if (this.#tales === null && this.#first !== null) {
      if (this.#first.size >= MAX_TOPICS) this.#isOverfull = true;
      else this.#first.set(topic, { isForeign, isHeard: true, isSteady: true });
    }
  }

  /** A message went out. */
  open(): void {
    for (const tale of this.#tales?.values() ?? []) {
      if (!tale.isHeard) tale.isSteady = false;
      tale.isHeard = false;
    }
    if (this.#tales !== null) return;
    this.#first = new Map();
    this.#isOverfull = false;
  }

  /** It came back; from now on everything is held. */
  close(): void {
    if (this.#tales === null) {
      if (this.#isOverfull) return;
      this.#tales = this.#first;
    }
    this.#windows += 1;
    for (const [topic, tale] of this.#tales ?? []) {
      if (!tale.isHeard) this.#tales?.delete(topic);
      tale.isHeard = false;
    }
  }

  #some(test: (tale: Tale) => boolean): boolean {
    for (const tale of this.#tales?.values() ?? []) if (test(tale)) return true;
    return false;
  }
}
