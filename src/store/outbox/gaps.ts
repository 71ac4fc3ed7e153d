import type { OutboxGap } from "../../mqtt/index.ts";
import type { ByteReader, ByteWriter } from "../bytes.ts";
import { wholeMs } from "../message-codec.ts";

/** Topics with a gap of their own; those beyond are counted together. */
export const MAX_GAP_TOPICS = 256;

/** What was dropped, by topic, until it is reported. */
export class Gaps {
  /** The topics beyond the bound stand under the empty name, which no topic has. */
  readonly #gaps = new Map<string, OutboxGap>();
  /** Topics whose row on disk is not up to date. */
  readonly dirty = new Set<string>();

  get isEmpty(): boolean {
    return this.#gaps.size === 0;
  }

  list(): OutboxGap[] {
    return [...this.#gaps.values()];
  }

  get(topic: string): OutboxGap | undefined {
    return this.#gaps.get(topic);
  }

  /** A message that was appended at `atMs` (wall clock) is dropped. */
  note(topic: string, atMs: number): void {
    const name = this.#gaps.has(topic) || this.#gaps.size < MAX_GAP_TOPICS ? topic : "";
    const gap = this.#gaps.get(name);
    this.#gaps.set(name, {
      topic: name === "" ? null : name,
      fromMs: Math.min(gap?.fromMs ?? atMs, atMs),
      toMs: Math.max(gap?.toMs ?? atMs, atMs),
      count: (gap?.count ?? 0) + 1,
    });
    this.dirty.add(name);
  }

  /** A gap found on disk. */
  found(name: string, from: ByteReader): void {
    const gap = { fromMs: from.u48(), toMs: from.u48(), count: from.varint() };
    this.#gaps.set(name, { topic: name === "" ? null : name, ...gap });
  }

  clear(): void {
    for (const name of this.#gaps.keys()) this.dirty.add(name);
    this.#gaps.clear();
  }
}

export function writeGap(out: ByteWriter, { fromMs, toMs, count }: OutboxGap): void {
  out.u48(wholeMs(fromMs));
  out.u48(wholeMs(toMs));
  out.varint(count);
}
