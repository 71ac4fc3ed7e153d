import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";

const MIB = 1024 * 1024;
const SECTOR_BYTES = 512;
const FIRST_PARTITION_AT = MIB;

/** What a stick is made of. */
export interface StickOptions {
  /** Where the raw file goes. */
  readonly file: string;
  /** Files at its top level: a name there, and a file of this machine. */
  readonly files: Readonly<Record<string, string>>;
  readonly sizeMiB: number;
  /** With a partition table as sticks are sold, or one file system from the first sector on. */
  readonly isPartitioned: boolean;
}

/** A USB stick with a FAT file system, in a file. */
export class Stick {
  readonly file: string;
  /** QEMU's name for it. */
  readonly id: string;
  readonly #digest: Promise<string>;

  private constructor(file: string, id: string) {
    this.file = file;
    this.id = id;
    this.#digest = digestOf(file);
  }

  static make(id: string, { file, files, sizeMiB, isPartitioned }: StickOptions): Stick {
    const startBytes = isPartitioned ? FIRST_PARTITION_AT : 0;
    execFileSync("rm", ["-f", "--", file]);
    execFileSync("truncate", ["--size", `${sizeMiB}M`, "--", file]);
    if (isPartitioned) {
      execFileSync("sfdisk", ["--quiet", file], {
        input: `label: dos\nstart=${startBytes / SECTOR_BYTES}, type=c\n`,
      });
    }
    const offset = ["--offset", String(startBytes / SECTOR_BYTES)];
    const kib = (sizeMiB * MIB - startBytes) / 1024;
    execFileSync("mkfs.vfat", ["-F", "32", "-n", "STICK", ...offset, file, String(kib)], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    for (const [name, source] of Object.entries(files)) {
      execFileSync("mcopy", ["-i", `${file}@@${startBytes}`, source, `::${name}`]);
    }
    return new Stick(file, id);
  }

  /** Whether anything has been written to it since it was made. */
  async isUntouched(): Promise<boolean> {
    return (await digestOf(this.file)) === (await this.#digest);
  }
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex");
}
