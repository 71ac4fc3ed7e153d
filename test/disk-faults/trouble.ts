import { join } from "node:path";
import { type GatewayProcess, startGateway } from "../helpers/gateway-process.ts";
import { until } from "../helpers/until.ts";
import { LedgerClient } from "./clients.ts";
import type { Ledger } from "./ledger.ts";
import { Probe } from "./probe.ts";
import type { Workers } from "./workload.ts";

/** Exit codes that the supervisor answers with a start (src/errors/exit-code.ts). */
const ORDERLY_ENDS = [70, 75];

/** Works on a gateway in trouble for some rounds, whatever it refuses. */
export async function workThroughTrouble(workers: Workers, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    try {
      await workers.begin();
      await workers.round();
    } catch {
      // Refused; the ledger knows what was promised before.
    }
  }
}

/**
 * Waits until the gateway takes messages again, with a subscriber that gets one, and says how long
 * that took. Rejects after 10 s (faults.md F4).
 */
export async function backToNormal(ledger: Ledger, tcpPort: number): Promise<number> {
  const startedMs = performance.now();
  const setup = { clientId: "after", tcpPort, protocolVersion: 5, isPersistent: false } as const;
  await until(
    "the gateway to take QoS 1 for a session that is away",
    async () => {
      const client = await LedgerClient.connect(ledger, setup).catch(() => null);
      if (client === null) return false;
      const id = `after-${ledger.sent.length}`;
      await client.publish(id, "t/0", { qos: 1, retain: false, sizeBytes: 100 });
      client.drop();
      return ledger.sent.some((sent) => sent.id === id && sent.safeNs !== null);
    },
    10_000,
  );
  return performance.now() - startedMs;
}

/** Kills the gateway and compares its store with what it acknowledged. */
export async function judgeAfterKill(gateway: GatewayProcess, ledger: Ledger): Promise<string[]> {
  await gateway.child.kill("SIGKILL");
  const probe = new Probe();
  try {
    const report = await probe.store(join(gateway.dataDir, "store"));
    const aside = report.setAside === null ? [] : [`set aside: ${report.setAside.reason}`];
    return [...ledger.judgeStore(report, null), ...aside];
  } finally {
    await probe.close();
  }
}

/** The gateway, or a new one on the same data when it has ended in order. */
export async function restarted(
  gateway: GatewayProcess,
  env: NodeJS.ProcessEnv,
): Promise<GatewayProcess> {
  const { exitCode, signalCode } = gateway.child.process;
  if (exitCode === null && signalCode === null) return gateway;
  if (exitCode === null || !ORDERLY_ENDS.includes(exitCode)) {
    throw new Error(`the gateway ended: ${exitCode ?? signalCode}\n${gateway.child.output()}`);
  }
  return startGateway({ dataDir: gateway.dataDir, env });
}
