import { members, PERIOD_MS, type Source, tenths } from "./metric.ts";
import { diskOf, mountsOf } from "./mounts.ts";
import type { Space, Tree } from "./tree.ts";

/** The file system that holds the data directory. */
export interface DiskSpaceSample {
  readonly totalBytes: number;
  /** Free for the gateway, without what is reserved for root. */
  readonly freeBytes: number;
  readonly usedPercent: number | null;
}

/** One statfs(2) in the thread pool; systeminformation's `fsSize` runs `df`. */
export const diskSpaceSource: Source<DiskSpaceSample> = {
  from: "statfs of the data directory",
  periodMs: PERIOD_MS.normal,
  open: ({ tree, dataDir }) => ({
    async read() {
      const space = await tree.space(dataDir);
      return space === null ? null : { ...space, ...shareOf(space) };
    },
  }),
};

/** Every file system on a disk, by its mount point. */
export const fileSystemSource: Source<{
  readonly totalBytes: Readonly<Record<string, number | null>>;
  readonly freeBytes: Readonly<Record<string, number | null>>;
  readonly usedPercent: Readonly<Record<string, number | null>>;
}> = {
  from: "/proc/self/mountinfo, statfs",
  periodMs: PERIOD_MS.slow,
  open: ({ tree }) => ({
    async read() {
      const mounts = mountsOf(tree);
      if (mounts.length === 0) return null;
      const spaces = await Promise.all(mounts.map(({ point }) => tree.space(point)));
      const of = (value: (space: Space) => number | null) =>
        members(
          mounts.flatMap(({ point }, index): [string, number | null][] => {
            const space = spaces[index] ?? null;
            return space === null ? [] : [[point, value(space)]];
          }),
        );
      return {
        totalBytes: of(({ totalBytes }) => totalBytes),
        freeBytes: of((space) => shareOf(space).freeBytes),
        usedPercent: of((space) => shareOf(space).usedPercent),
      };
    },
  }),
};

/** Bytes since the start of the device, by disk. */
export interface DiskTrafficSample {
  readonly readBytes: Readonly<Record<string, number | null>>;
  readonly writtenBytes: Readonly<Record<string, number | null>>;
}

export const diskTrafficSource: Source<DiskTrafficSample> = {
  from: "/proc/diskstats",
  periodMs: PERIOD_MS.slow,
  open: ({ tree }) => ({
    async read() {
      const rows = diskRows(tree, await disksOf(tree));
      if (rows === null) return null;
      return {
        readBytes: members(rows.map(({ name, readBytes }) => [name, readBytes])),
        writtenBytes: members(rows.map(({ name, writtenBytes }) => [name, writtenBytes])),
      };
    },
  }),
};

/** Size of each disk. */
export const diskSizeSource: Source<Readonly<Record<string, number | null>>> = {
  from: "/sys/block/*/size",
  periodMs: PERIOD_MS.slow,
  open: ({ tree }) => ({
    async read() {
      const disks = await disksOf(tree);
      const sectors = await Promise.all(
        disks.map((disk) => tree.reading(`sys/block/${disk}/size`)),
      );
      const sizes = disks.map((disk, index): [string, number | null] => {
        const count = sectors[index] ?? null;
        return [disk, count === null ? null : count * SECTOR_BYTES];
      });
      return sizes.length === 0 ? null : members(sizes);
    },
  }),
};

/** What an eMMC says of its own wear, by disk. */
export interface DiskLifeSample {
  /** Used share of its life in steps of 10 %; 100 = past its end. */
  readonly usedPercent: Readonly<Record<string, number | null>>;
  /** 1 = normal, 2 = 80 % of its spare blocks are used, 3 = 90 %. */
  readonly preEnd: Readonly<Record<string, number | null>>;
}

/**
 * `life_time` holds two values (its two kinds of cells) in steps of 10 %, 11 = past its end, 0 = not
 * told; `pre_eol_info` one of 1 to 3 (JEDEC eMMC 5.0, DEVICE_LIFE_TIME_EST and PRE_EOL_INFO). SD
 * cards and other disks have no such files and are left out.
 */
export const diskLifeSource: Source<DiskLifeSample> = {
  from: "/sys/block/*/device/life_time, pre_eol_info",
  periodMs: PERIOD_MS.slow,
  open: ({ tree }) => ({
    async read() {
      const disks = await disksOf(tree);
      const device = (disk: string, file: string) => tree.read(`sys/block/${disk}/device/${file}`);
      const rows = await Promise.all(
        disks.map(async (disk) => ({
          disk,
          life: worstOf(await device(disk, "life_time")),
          preEnd: worstOf(await device(disk, "pre_eol_info")),
        })),
      );
      const known = rows.filter(({ life, preEnd }) => life > 0 || preEnd > 0);
      if (known.length === 0) return null;
      return {
        usedPercent: members(
          known.map(({ disk, life }) => [disk, life > 0 ? Math.min(100, life * 10) : null]),
        ),
        preEnd: members(known.map(({ disk, preEnd }) => [disk, preEnd > 0 ? preEnd : null])),
      };
    },
  }),
};

/** A sector is 512 bytes here whatever the disk's own are (kernel: Documentation/admin-guide/iostats). */
const SECTOR_BYTES = 512;

interface DiskRow {
  readonly name: string;
  readonly readBytes: number;
  readonly writtenBytes: number;
}

function diskRows(tree: Tree, disks: readonly string[]): readonly DiskRow[] | null {
  const text = tree.proc("proc/diskstats");
  if (text === null) return null;
  const wanted = new Set(disks);
  return text.split("\n").flatMap((line) => {
    const fields = line.trim().split(/ +/);
    const name = fields[2] ?? "";
    if (!wanted.has(name)) return [];
    const [readBytes, writtenBytes] = [5, 9].map((at) => Number(fields[at]) * SECTOR_BYTES);
    return [{ name, readBytes: readBytes ?? 0, writtenBytes: writtenBytes ?? 0 }];
  });
}

/** Bytes written since the start of the device to the disk `directory` is on; null when not known. */
export async function writtenToDiskOf(
  tree: Tree,
  directory: string,
): Promise<{ readonly writtenBytes: number; readonly sizeBytes: number | null } | null> {
  const disks = await disksOf(tree);
  const disk = await diskOf(tree, directory, disks);
  const row = disk === null ? undefined : diskRows(tree, [disk])?.[0];
  if (disk === null || row === undefined) return null;
  const sectors = await tree.reading(`sys/block/${disk}/size`);
  return {
    writtenBytes: row.writtenBytes,
    sizeBytes: sectors === null ? null : sectors * SECTOR_BYTES,
  };
}

/** Real disks: not made of memory or of other disks, and not an eMMC's boot areas. */
async function disksOf(tree: Tree): Promise<readonly string[]> {
  const names = await tree.list("sys/block");
  return names.filter(
    (name) => !/^(?:loop|ram|zram|dm-|md|sr|fd|nbd)\d|^mmcblk\d+(?:boot\d+|rpmb)$/.test(name),
  );
}

/** As df counts it: root's reserve is neither used nor free. */
function shareOf({ totalBytes, freeBytes, availableBytes }: Space) {
  const used = totalBytes - freeBytes;
  return {
    freeBytes: availableBytes,
    usedPercent: tenths((100 * used) / (used + availableBytes)),
  };
}

/** The largest of the numbers, which the kernel writes as 0x01; 0 where there is none. */
function worstOf(text: string | null): number {
  const values = (text ?? "").trim().split(/\s+/).filter(Boolean).map(Number);
  return Math.max(0, ...values.filter((value) => Number.isFinite(value)));
}
