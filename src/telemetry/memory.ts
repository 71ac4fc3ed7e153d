import { mem } from "systeminformation";
import { PERIOD_MS, type Source } from "./metric.ts";

/** Bytes; `usedBytes` is what programs hold, without the caches the kernel gives back. */
export interface MemorySample {
  readonly totalBytes: number;
  readonly availableBytes: number;
  readonly usedBytes: number;
  readonly swapTotalBytes: number;
  readonly swapUsedBytes: number;
}

/**
 * systeminformation's `mem` reads `/proc/meminfo` and starts no process. Its `used` counts caches
 * as used; `active` is total − available.
 */
export const memorySource: Source<MemorySample> = {
  from: "systeminformation mem",
  periodMs: PERIOD_MS.normal,
  open: () => ({
    async read() {
      const memory = await mem();
      return {
        totalBytes: memory.total,
        availableBytes: memory.available,
        usedBytes: memory.active,
        swapTotalBytes: memory.swaptotal,
        swapUsedBytes: memory.swapused,
      };
    },
  }),
};
