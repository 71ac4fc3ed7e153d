import type { BridgeConfig } from "../config/index.ts";
import type { Clock } from "../time/index.ts";
import { Link } from "./link.ts";
import type { HostResolver } from "./resolve.ts";

export interface ProbeDeps {
  readonly clock: Clock;
  readonly resolver: HostResolver;
}

/**
 * Connects once as a bridge of this configuration would, under `clientId` and without a session that
 * stays, and leaves again. Null when the broker accepted, else why it did not, in words.
 */
export async function probeServer(
  deps: ProbeDeps,
  clientId: string,
  cfg: BridgeConfig,
): Promise<string | null> {
  const nothing = () => {};
  const link = new Link(
    {
      log: { say: nothing },
      clock: deps.clock,
      resolver: deps.resolver,
      onCertificate: nothing,
      events: {
        onUp: nothing,
        onDown: nothing,
        onUnreachable: nothing,
        onMessage: () => Promise.resolve(),
        onDiscard: nothing,
        onCertificateTrouble: nothing,
        onReceived: nothing,
        onDrain: nothing,
        onChange: nothing,
      },
    },
    "probe",
    clientId,
    { ...cfg, clean_start: true, servers: [] },
  );
  link.start();
  await link.settled();
  const reason = link.state === "connected" ? null : (link.lastError ?? "it did not connect");
  await link.stop();
  return reason;
}
