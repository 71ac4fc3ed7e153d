import { readFileSync } from "node:fs";
import { connectAsync } from "mqtt";

/** What a broker spent on sending messages on to another one. */
export interface BridgedLoad {
  /** CPU of the broker that bridges, per message. */
  readonly usPerMessage: number;
  /** Messages per second that reached the other broker. */
  readonly perSecond: number;
}

const PUBLISHERS = 20;
const WINDOW = 20;
const WARM_UPS = 2;
const PAYLOAD = Buffer.alloc(256, "x");

/** Clock ticks of /proc/<pid>/stat, ms. */
const TICK_MS = 10;

/**
 * Publishes `count` messages of 256 bytes with QoS 1 to the broker on `tcpPort`, which bridges them,
 * and waits until a subscriber of the broker on `cloudPort` has them all; twice as many before that
 * are not measured.
 */
export async function bridgedLoad(
  tcpPort: number,
  cloudPort: number,
  pid: number,
  count: number,
): Promise<BridgedLoad> {
  const above = await connectAsync(`mqtt://127.0.0.1:${cloudPort}`);
  const publishers = await Promise.all(
    Array.from({ length: PUBLISHERS }, () => connectAsync(`mqtt://127.0.0.1:${tcpPort}`)),
  );
  try {
    let all = Promise.withResolvers<void>();
    let arrived = 0;
    above.on("message", () => {
      arrived += 1;
      if (arrived === count) all.resolve();
    });
    await above.subscribeAsync("bench/#", { qos: 1 });
    // The first one shows that the link is up.
    while (arrived === 0) {
      await publishers[0]?.publishAsync("bench/first", PAYLOAD, { qos: 1 });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const send = async () => {
      arrived = 0;
      all = Promise.withResolvers<void>();
      let next = 0;
      const lane = async (client: (typeof publishers)[number], topic: string) => {
        while (next < count) {
          next += 1;
          await client.publishAsync(topic, PAYLOAD, { qos: 1 });
        }
      };
      await Promise.all(
        publishers.flatMap((client, p) =>
          Array.from({ length: WINDOW }, () => lane(client, `bench/${p}`)),
        ),
      );
      await all.promise;
    };
    // A gateway runs for months: what its first seconds cost is measured with its start.
    for (let warmUp = 0; warmUp < WARM_UPS; warmUp++) await send();
    const cpuMs = cpuOf(pid);
    const startMs = performance.now();
    await send();
    const tookMs = performance.now() - startMs;
    return {
      usPerMessage: ((cpuOf(pid) - cpuMs) * 1000) / count,
      perSecond: (count * 1000) / tookMs,
    };
  } finally {
    await Promise.all([above, ...publishers].map((client) => client.endAsync(true)));
  }
}

function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}
