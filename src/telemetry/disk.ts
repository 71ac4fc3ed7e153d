import { statfs } from "node:fs/promises";
import { members, PERIOD_MS, type Source, tenths } from "./metric.ts";
import type { Tree } from "./tree.ts";

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
  open: ({ dataDir }) => ({
    async read() {
      const { bsize, blocks, bfree, bavail } = await statfs(dataDir);
      const used = blocks - bfree;
      return {
        totalBytes: blocks * bsize,
        freeBytes: bavail * bsize,
        // As df counts it: root's reserve is neither used nor free.
        usedPercent: tenths((100 * used) / (used + bavail)),
      };
    },
  }),
};

/** Bytes written since the start of the device, by disk. */
export const diskWritesSource: Source<Readonly<Record<string, number | null>>> = {
  from: "/proc/diskstats",
  periodMs: PERIOD_MS.slow,
  open: ({ tree }) => ({
    async read() {
      const text = tree.proc("proc/diskstats");
      if (text === null) return null;
      const disks = new Set(await disksOf(tree));
      return members(
        text.split("\n").flatMap((line): [string, number][] => {
          const fields = line.trim().split(/ +/);
          const [name, sectorsWritten] = [fields[2] ?? "", Number(fields[9])];
          // A sector is 512 bytes here whatever the disk's own are (kernel: Documentation/admin-guide/iostats).
          return disks.has(name) ? [[name, sectorsWritten * 512]] : [];
        }),
      );
    },
  }),
};

/**
 * How much of an eMMC's life its own estimate says is used, by disk: `life_time` holds two values
 * (its two kinds of cells) in steps of 10 %, 11 = past its end, 0 = not told (JEDEC eMMC 5.0
 * DEVICE_LIFE_TIME_EST). SD cards and other disks have no such file and are left out.
 */
export const diskLifeSource: Source<Readonly<Record<string, number | null>>> = {
  from: "/sys/block/*/device/life_time",
  periodMs: PERIOD_MS.slow,
  open: ({ tree }) => ({
    async read() {
      const disks = await disksOf(tree);
      const texts = await Promise.all(
        disks.map((disk) => tree.read(`sys/block/${disk}/device/life_time`)),
      );
      const known = disks.flatMap((disk, index): [string, number][] => {
        const steps = Math.max(...(texts[index]?.trim().split(/\s+/).map(Number) ?? []));
        return steps > 0 ? [[disk, Math.min(100, steps * 10)]] : [];
      });
      return known.length === 0 ? null : members(known);
    },
  }),
};

/** Real disks: not made of memory or of other disks, and not an eMMC's boot areas. */
async function disksOf(tree: Tree): Promise<readonly string[]> {
  const names = await tree.list("sys/block");
  return names.filter(
    (name) => !/^(?:loop|ram|zram|dm-|md|sr|fd|nbd)\d|^mmcblk\d+(?:boot\d+|rpmb)$/.test(name),
  );
}
