import { members, PERIOD_MS, type Source, tenths } from "./metric.ts";

interface Interface {
  readonly rxBytes: number;
  readonly txBytes: number;
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
  part: "rxBytes" | "txBytes" | "rxBytesPerS" | "txBytesPerS",
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
    const [rxBytes, txBytes] = [counters[0], counters[8]];
    if (colon < 1 || name === "lo" || rxBytes === undefined || txBytes === undefined) continue;
    interfaces.set(name, { rxBytes, txBytes });
  }
  return interfaces;
}
