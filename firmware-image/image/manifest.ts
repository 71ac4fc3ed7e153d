/**
 * Prints what an image is, for the programs that flash it and for people who check it, as JSON.
 *
 * Usage: node firmware-image/image/manifest.ts --version VERSION --epoch SECONDS --commit COMMIT
 *          --kernel RELEASE --kernel-version VERSION --boards 3,4 --node VERSION --image FILE
 *          --compressed FILE --bom FILE
 */

import { createHash } from "node:crypto";
import { closeSync, createReadStream, openSync, readFileSync, readSync, statSync } from "node:fs";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";

const SECTOR_BYTES = 512;

/** Of the four entries of a partition table (MBR), in bytes from the start of the card. */
export interface Partition {
  number: number;
  name: string;
  type: string;
  start_bytes: number;
  size_bytes: number;
}

const PARTITION_NAMES = ["boot", "slot A", "slot B", "data"] as const;

/** Reads the partition table from the first sector of an image. */
export function partitionsOf(sector: Buffer): Partition[] {
  if (sector.readUInt16LE(510) !== 0xaa55) throw new Error("the image has no partition table");
  return PARTITION_NAMES.map((name, index) => {
    const entry = 446 + index * 16;
    return {
      number: index + 1,
      name,
      type: `0x${sector
        .readUInt8(entry + 4)
        .toString(16)
        .padStart(2, "0")}`,
      start_bytes: sector.readUInt32LE(entry + 8) * SECTOR_BYTES,
      size_bytes: sector.readUInt32LE(entry + 12) * SECTOR_BYTES,
    };
  });
}

function firstSector(file: string): Buffer {
  const sector = Buffer.alloc(SECTOR_BYTES);
  const descriptor = openSync(file, "r");
  readSync(descriptor, sector, 0, SECTOR_BYTES, 0);
  closeSync(descriptor);
  return sector;
}

async function fileEntry(file: string) {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash);
  return {
    name: path.basename(file),
    size_bytes: statSync(file).size,
    sha256: hash.digest("hex"),
  };
}

async function main(): Promise<void> {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      version: text,
      epoch: text,
      commit: text,
      kernel: text,
      "kernel-version": text,
      boards: text,
      node: text,
      image: text,
      compressed: text,
      bom: text,
    },
  });
  const need = (name: keyof typeof values): string => {
    const value = values[name];
    if (!value) throw new Error(`--${name} is missing, see the head of this file`);
    return value;
  };
  const bom = need("bom");
  const { components }: { components: unknown[] } = JSON.parse(readFileSync(bom, "utf8"));
  const manifest = {
    name: "tidegate",
    version: need("version"),
    architecture: "arm64",
    boards: need("boards").split(","),
    build_date: new Date(Number(need("epoch")) * 1000).toISOString(),
    commit: need("commit"),
    kernel: need("kernel"),
    kernel_version: need("kernel-version"),
    node: need("node"),
    image: await fileEntry(need("image")),
    compressed: await fileEntry(need("compressed")),
    bill_of_materials: { ...(await fileEntry(bom)), components: components.length },
    partitions: partitionsOf(firstSector(need("image"))),
  };
  process.stdout.write(`${JSON.stringify(manifest, null, 2)}\n`);
}

if (import.meta.main) await main();
