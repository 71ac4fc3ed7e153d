import { members, PERIOD_MS, type Source, tenths } from "./metric.ts";

interface Interface {
  readonly rxBytes: number;
  readonly txBytes: number;
  /** Packets that were damaged or found no room. */
  readonly rxErrors: number;
  readonly txErrors: number;
}

/** Every interface but loopback, by name. Rates are null in an interface's first sample. */
export interface NetworkSample {
  readonly interfaces: readonly (Interface & {
    readonly name: string;
    readonly rxBytesPerS: number | null;
    readonly txBytesPerS: number | null;
  })[];
}

/**
 * All interfaces from the one file `/proc/net/dev`. systeminformation's `networkStats` runs a shell
 * for each interface.
 */
export const networkSource: Source<NetworkSample> = {
  from: "/proc/net/dev",
  periodMs: PERIOD_MS.normal,
  open({ tree, clock }) {
    let before: ReadonlyMap<string, Interface> = new Map();
    let beforeMs = 0;
    return {
      read() {
        const text = tree.proc("proc/net/dev");
        if (text === null) return null;
        const now = parseNetDev(text);
        const nowMs = clock.monotonicMs();
        const rate = (name: string, part: "rxBytes" | "txBytes") => {
          const grown = (now.get(name)?.[part] ?? 0) - (before.get(name)?.[part] ?? Number.NaN);
          // A counter that shrank belongs to an interface that was made anew.
          return grown < 0 || nowMs <= beforeMs
            ? null
            : tenths((grown * 1000) / (nowMs - beforeMs));
        };
        const interfaces = [...now].map(([name, counters]) => ({
          name,
          ...counters,
          rxBytesPerS: rate(name, "rxBytes"),
          txBytesPerS: rate(name, "txBytes"),
        }));
        before = now;
        beforeMs = nowMs;
        return { interfaces };
      },
    };
  },
};

/** One value of every interface. */
export function perInterface(
  sample: NetworkSample,
  part: "rxBytes" | "txBytes" | "rxErrors" | "txErrors" | "rxBytesPerS" | "txBytesPerS",
): Readonly<Record<string, number | null>> {
  return members(sample.interfaces.map((each) => [each.name, each[part]]));
}

function parseNetDev(text: string): Map<string, Interface> {
  const interfaces = new Map<string, Interface>();
  // Two lines of headings, then `name: <8 receive counters> <8 transmit counters>`.
  for (const line of text.split("\n").slice(2)) {
    const colon = line.lastIndexOf(":");
    const name = line.slice(0, colon).trim();
    const counters = line
      .slice(colon + 1)
      .trim()
      .split(/ +/)
      .map(Number);
    // bytes packets errs drop fifo frame compressed multicast, then bytes packets errs drop …
    const [rxBytes, , rxErrs = 0, rxDrop = 0, , , , , txBytes, , txErrs = 0, txDrop = 0] = counters;
    if (colon < 1 || name === "lo" || rxBytes === undefined || txBytes === undefined) continue;
    interfaces.set(name, {
      rxBytes,
      txBytes,
      rxErrors: rxErrs + rxDrop,
      txErrors: txErrs + txDrop,
    });
  }
  return interfaces;
}

/** Whether an interface has a link (1) or not (0), by name, as its driver says; loopback left out. */
export const linkSource: Source<Readonly<Record<string, number | null>>> = {
  from: "/sys/class/net/*/operstate",
  periodMs: PERIOD_MS.normal,
  open: ({ tree }) => ({
    async read() {
      const names = (await tree.list("sys/class/net")).filter((name) => name !== "lo");
      if (names.length === 0) return null;
      const states = await Promise.all(
        names.map((name) => tree.read(`sys/class/net/${name}/operstate`)),
      );
      return members(
        names.flatMap((name, index): [string, number | null][] => {
          const state = states[index]?.trim();
          if (state === undefined) return [];
          // "unknown" is said by drivers that cannot tell, of interfaces that are up.
          return [[name, state === "up" ? 1 : state === "unknown" ? null : 0]];
        }),
      );
    },
  }),
};

/** Signal level of wireless interfaces, dBm. */
export const wirelessSource: Source<Readonly<Record<string, number | null>>> = {
  from: "/proc/net/wireless",
  periodMs: PERIOD_MS.normal,
  open: ({ tree }) => ({
    read() {
      const text = tree.proc("proc/net/wireless");
      if (text === null) return null;
      // Two lines of headings, then `name: status link. level. noise. …`.
      const rows = text
        .split("\n")
        .slice(2)
        .flatMap((line): [string, number | null][] => {
          const [name, , , level] = line.trim().split(/ +/);
          if (name === undefined || !name.endsWith(":") || level === undefined) return [];
          const dBm = Number(level);
          // Drivers that count from 0 to 255 mean 256 less.
          return [[name.slice(0, -1), Number.isFinite(dBm) ? (dBm > 63 ? dBm - 256 : dBm) : null]];
        });
      return rows.length === 0 ? null : members(rows);
    },
  }),
};
