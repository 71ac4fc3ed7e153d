import { globSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tempDir } from "../helpers/temp-dir.ts";

const LIBRARY = "/usr/lib/*/faketime/libfaketimeMT.so.1";

/**
 * A wall clock for a process of ours that can be set while it runs (Debian's libfaketime); its
 * monotonic clock stays right, as the kernel's does when the time is set.
 */
export class WallClock {
  readonly #file = join(tempDir(), "offset");

  /** @param at what the clock shows now */
  constructor(at: Date) {
    this.set(at);
  }

  /** For the process that is to go by this clock. */
  get env(): NodeJS.ProcessEnv {
    const [library] = globSync(LIBRARY);
    if (library === undefined) throw new Error("the Debian package libfaketime is missing");
    return {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      NO_FAKE_STAT: "1",
    };
  }

  set(at: Date): void {
    this.#setOffset((at.getTime() - Date.now()) / 1000);
  }

  #setOffset(offsetS: number): void {
    // The process reads the file at any moment; a rename never shows it half written.
    writeFileSync(`${this.#file}.new`, `${offsetS < 0 ? "" : "+"}${offsetS.toFixed(3)}\n`);
    renameSync(`${this.#file}.new`, this.#file);
  }
}
