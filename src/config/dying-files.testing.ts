import { writeFileSync } from "node:fs";
import { GatewayError } from "../errors/index.ts";
import { type DurableFiles, diskFiles } from "./durable-files.ts";

/** How an operation ends at which the process dies or the disk begins to refuse. */
export type Ending = "before" | "unfinished" | "after";

export const ENDINGS: readonly Ending[] = ["before", "unfinished", "after"];

/**
 * The disk's files until the operation with the number `last`, counted from 1; that one fails before
 * or after its effect, or leaves half a file without a name, and everything after it fails.
 */
export class DyingFiles implements DurableFiles {
  readonly #last: number;
  readonly #ending: Ending;
  #count = 0;

  constructor(last: number, ending: Ending) {
    this.#last = last;
    this.#ending = ending;
  }

  /** Whether the end was reached. */
  get isDead(): boolean {
    return this.#count >= this.#last;
  }

  write(path: string, content: string | Buffer): Promise<void> {
    const half = () =>
      writeFileSync(`${path}.00000000dead.tmp`, content.slice(0, content.length / 2));
    return this.#step(path, () => diskFiles.write(path, content), half);
  }

  keep(path: string, as: string): Promise<void> {
    return this.#step(as, () => diskFiles.keep(path, as));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#step(to, () => diskFiles.rename(from, to));
  }

  remove(path: string): Promise<void> {
    return this.#step(path, () => diskFiles.remove(path));
  }

  makeDirectory(path: string): Promise<void> {
    return this.#step(path, () => diskFiles.makeDirectory(path));
  }

  async #step(path: string, operation: () => Promise<void>, half?: () => void): Promise<void> {
    this.#count += 1;
    if (this.#count < this.#last) {
      await operation();
      return;
    }
    if (this.#count === this.#last) {
      if (this.#ending === "after") await operation();
      if (this.#ending === "unfinished") half?.();
    }
    throw new GatewayError("CONFIG_WRITE_FAILED", { path, reason: "EIO" });
  }
}
