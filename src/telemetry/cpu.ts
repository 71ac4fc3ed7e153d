import { members, numberOf, PERIOD_MS, type Source, tenths } from "./metric.ts";

interface Ticks {
  readonly total: number;
  readonly busy: number;
  readonly ioWait: number;
}

/** Shares of the time since the sample before, in percent; null in the first sample. */
export interface CpuSample {
  readonly busyPercent: number | null;
  readonly ioWaitPercent: number | null;
  readonly coreBusyPercent: Readonly<Record<string, number | null>>;
}

/**
 * CPU time by proc(5) `/proc/stat`. systeminformation's `currentLoad` runs a shell for the same
 * file, synchronously: 2.7 ms of CPU a call here, with the event loop held.
 */
export const cpuSource: Source<CpuSample> = {
  from: "/proc/stat",
  periodMs: PERIOD_MS.fast,
  open({ tree }) {
    let before: ReadonlyMap<string, Ticks> = new Map();
    return {
      read() {
        const text = tree.proc("proc/stat");
        if (text === null) return null;
        const now = parseStat(text);
        const share = (cpu: string, part: "busy" | "ioWait") =>
          shareOf(before.get(cpu), now.get(cpu), part);
        const cores = [...now.keys()].filter((cpu) => cpu !== "cpu");
        const sample: CpuSample = {
          busyPercent: share("cpu", "busy"),
          ioWaitPercent: share("cpu", "ioWait"),
          coreBusyPercent: members(cores.map((cpu) => [cpu.slice(3), share(cpu, "busy")])),
        };
        before = now;
        return sample;
      },
    };
  },
};

/** Load averages over 1, 5 and 15 minutes. */
export const loadSource: Source<readonly (number | null)[]> = {
  from: "/proc/loadavg",
  periodMs: PERIOD_MS.fast,
  open: ({ tree }) => ({
    read: () => tree.proc("proc/loadavg")?.split(" ").slice(0, 3).map(numberOf) ?? null,
  }),
};

/** Seconds since the device started. */
export const uptimeSource: Source<number> = {
  from: "/proc/uptime",
  periodMs: PERIOD_MS.normal,
  open: ({ tree }) => ({
    read: () => numberOf(tree.proc("proc/uptime")?.split(" ")[0]),
  }),
};

function parseStat(text: string): Map<string, Ticks> {
  const cpus = new Map<string, Ticks>();
  for (const line of text.split("\n")) {
    // The lines of all CPUs come first; the long ones about interrupts follow.
    if (!line.startsWith("cpu")) break;
    const [name = "", ...fields] = line.split(/ +/);
    // user nice system idle iowait irq softirq steal; guest time is part of user already.
    const ticks = fields.slice(0, 8).map(Number);
    const total = ticks.reduce((sum, value) => sum + value, 0);
    const ioWait = ticks[4] ?? 0;
    cpus.set(name, { total, ioWait, busy: total - (ticks[3] ?? 0) - ioWait });
  }
  return cpus;
}

function shareOf(before: Ticks | undefined, now: Ticks | undefined, part: "busy" | "ioWait") {
  if (before === undefined || now === undefined || now.total <= before.total) return null;
  const percent = (100 * (now[part] - before[part])) / (now.total - before.total);
  // proc(5): iowait may run backwards, which would push the others past 100.
  return tenths(Math.min(100, Math.max(0, percent)));
}
