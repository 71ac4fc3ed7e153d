import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const SECTOR_BYTES = 512;
const MBR_ENTRY_AT = 446;
const MBR_ENTRY_BYTES = 16;

/** Partitions as firmware-image/README.md numbers them. */
const PARTITIONS = { boot: 1, rootA: 2, rootB: 3, data: 4 } as const;
export type PartitionName = keyof typeof PARTITIONS;

export interface Partition {
  readonly startBytes: number;
  readonly sizeBytes: number;
}

/** What came of checking a file system. */
export interface FileSystemCheck {
  /** Nothing had to be repaired but what every mount does by itself: the journal. */
  readonly isClean: boolean;
  readonly output: string;
}

/** An SD card in a file. Read and written only while no machine runs with it. */
export class Card {
  readonly file: string;

  private constructor(file: string) {
    this.file = file;
  }

  /** A card of `sizeBytes` with the image written to it; the image itself is never written to. */
  static flash(image: string, file: string, sizeBytes: number): Card {
    execFileSync("cp", ["--sparse=always", "--", image, file]);
    execFileSync("truncate", ["--size", String(sizeBytes), "--", file]);
    return new Card(file);
  }

  partition(name: PartitionName): Partition {
    const sector = Buffer.alloc(SECTOR_BYTES);
    const descriptor = openSync(this.file, "r");
    try {
      readSync(descriptor, sector, 0, SECTOR_BYTES, 0);
    } finally {
      closeSync(descriptor);
    }
    const entry = MBR_ENTRY_AT + (PARTITIONS[name] - 1) * MBR_ENTRY_BYTES;
    return {
      startBytes: sector.readUInt32LE(entry + 8) * SECTOR_BYTES,
      sizeBytes: sector.readUInt32LE(entry + 12) * SECTOR_BYTES,
    };
  }

  /** Puts a file on the boot partition, as a person with a card reader does. */
  putOnBoot(name: string, content: string): void {
    const local = `${this.file}.put`;
    writeFileSync(local, content);
    this.#mtools("mcopy", "-o", local, `::${name}`);
    rmSync(local);
  }

  /** A file of the boot partition; null when it is not there. */
  readBoot(name: string): string | null {
    if (!this.bootFiles().includes(name.toLowerCase())) return null;
    return this.#mtools("mtype", `::${name}`);
  }

  /** Names at the top of the boot partition, in lower case. */
  bootFiles(): readonly string[] {
    const listed = this.#mtools("mdir", "-b", "::");
    return listed.split("\n").flatMap((line) => {
      const name = line.replace(/^::\//, "").replace(/\/$/, "").trim().toLowerCase();
      return name === "" ? [] : [name];
    });
  }

  /** Copies the data partition out, checks it, and hands it to `read`; the card stays as it is. */
  readData<T>(read: (data: DataPartition) => T): T {
    const folder = mkdtempSync(join(dirname(this.file), "data-"));
    try {
      const copy = join(folder, "data.ext4");
      const { startBytes, sizeBytes } = this.partition("data");
      execFileSync("dd", [
        `if=${this.file}`,
        `of=${copy}`,
        ...["bs=4M", "conv=sparse", "iflag=skip_bytes,count_bytes", "status=none"],
        ...[`skip=${startBytes}`, `count=${sizeBytes}`],
      ]);
      execFileSync("truncate", ["--size", String(sizeBytes), "--", copy]);
      return read(new DataPartition(copy));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  remove(): void {
    rmSync(this.file, { force: true });
  }

  #mtools(program: string, ...args: readonly string[]): string {
    const image = `${this.file}@@${this.partition("boot").startBytes}`;
    const [options, files] = [args.slice(0, -1), args.slice(-1)];
    return execFileSync(
      program,
      [...options.slice(0, 1), "-i", image, ...options.slice(1), ...files],
      {
        encoding: "utf8",
        env: { ...process.env, MTOOLS_SKIP_CHECK: "1" },
      },
    );
  }
}

/** A copy of the data partition, its journal replayed as the next mount would. */
export class DataPartition {
  readonly #file: string;
  readonly check: FileSystemCheck;

  constructor(file: string) {
    this.#file = file;
    // First as a mount does it: the journal and the orphans. Then nothing may be left to find.
    const replay = spawnSync("e2fsck", ["-p", file], { encoding: "utf8" });
    const verify = spawnSync("e2fsck", ["-f", "-n", file], { encoding: "utf8" });
    this.check = {
      // 1: something was put right, which for -p is what is safe to put right without asking.
      isClean: replay.status !== null && replay.status <= 1 && verify.status === 0,
      output: [replay.stdout, replay.stderr, verify.stdout, verify.stderr].join("\n").trim(),
    };
  }

  /** A file's content, by its path on the partition; null when it is not there. */
  read(path: string): string | null {
    const { stdout, stderr } = spawnSync("debugfs", ["-R", `cat ${path}`, this.#file], {
      encoding: "utf8",
      maxBuffer: 64 * 1024 * 1024,
    });
    return stderr.includes("File not found") ? null : stdout;
  }

  /** Names in a folder. */
  list(path: string): readonly string[] {
    const listed = spawnSync("debugfs", ["-R", `ls -p ${path}`, this.#file], { encoding: "utf8" });
    return listed.stdout.split("\n").flatMap((line) => {
      const name = line.split("/")[5];
      return name === undefined || name === "." || name === ".." || name === "" ? [] : [name];
    });
  }
}
