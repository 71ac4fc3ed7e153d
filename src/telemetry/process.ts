import { monitorEventLoopDelay } from "node:perf_hooks";
import { numberOf, PERIOD_MS, type Source, tenths } from "./metric.ts";

/** The gateway's own process. */
export interface ProcessSample {
  /** Of one core, so up to 100 × cores; null in the first sample. */
  readonly cpuPercent: number | null;
  readonly rssBytes: number;
  readonly heapUsedBytes: number;
  readonly heapTotalBytes: number;
  /** Buffers: payloads on their way, mostly. */
  readonly buffersBytes: number;
  readonly uptimeS: number;
}

export const processSource: Source<ProcessSample> = {
  from: "node:process",
  periodMs: PERIOD_MS.fast,
  open({ clock }) {
    let before: { readonly cpuUs: number; readonly atMs: number } | null = null;
    return {
      read() {
        const { user, system } = process.cpuUsage();
        const now = { cpuUs: user + system, atMs: clock.monotonicMs() };
        const cpuPercent =
          before === null || now.atMs <= before.atMs
            ? null
            : tenths((now.cpuUs - before.cpuUs) / 10 / (now.atMs - before.atMs));
        before = now;
        const memory = process.memoryUsage();
        return {
          cpuPercent,
          rssBytes: memory.rss,
          heapUsedBytes: memory.heapUsed,
          heapTotalBytes: memory.heapTotal,
          buffersBytes: memory.arrayBuffers,
          uptimeS: Math.floor(process.uptime()),
        };
      },
    };
  },
};

/** Descriptors the process holds: the size of `/proc/self/fd` since Linux 6.2, 0 before. */
export const openFilesSource: Source<number> = {
  from: "/proc/self/fd",
  periodMs: PERIOD_MS.normal,
  open: ({ tree }) => ({ read: async () => (await tree.size("proc/self/fd")) || null }),
};

/** How late the event loop was, since the sample before. */
export interface EventLoopSample {
  readonly meanMs: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
  /** Share of the time the loop was at work and not waiting. */
  readonly busyPercent: number | null;
}

/**
 * Every wake-up of the monitor costs about 0.1 ms of CPU on an idle machine: 10 ms of CPU a second
 * with Node's default of 10 ms, 1.6 ms with 50 ms. A hold of D ms shows as D − 50 to D.
 */
const MONITOR_RESOLUTION_MS = 50;

export const eventLoopSource: Source<EventLoopSample> = {
  from: "node:perf_hooks",
  periodMs: PERIOD_MS.normal,
  open() {
    const delay = monitorEventLoopDelay({ resolution: MONITOR_RESOLUTION_MS });
    delay.enable();
    let before = performance.eventLoopUtilization();
    // The monitor records its timer's period and whatever came on top; NaN before the first one.
    const lateMs = (ns: number) => tenths(Math.max(0, ns / 1e6 - MONITOR_RESOLUTION_MS));
    return {
      read() {
        const now = performance.eventLoopUtilization();
        const { utilization } = performance.eventLoopUtilization(now, before);
        before = now;
        const isEmpty = delay.count === 0;
        const sample: EventLoopSample = {
          meanMs: isEmpty ? null : lateMs(delay.mean),
          p99Ms: isEmpty ? null : lateMs(delay.percentile(99)),
          maxMs: isEmpty ? null : lateMs(delay.max),
          busyPercent: tenths(utilization * 100),
        };
        delay.reset();
        return sample;
      },
      close: () => {
        delay.disable();
      },
    };
  },
};

/** Most descriptors the process may hold. */
export const fileLimitSource: Source<number> = {
  from: "/proc/self/limits",
  periodMs: null,
  open: ({ tree }) => ({
    read() {
      const line = /^Max open files +(\d+)/m.exec(tree.proc("proc/self/limits") ?? "");
      return numberOf(line?.[1]);
    },
  }),
};
