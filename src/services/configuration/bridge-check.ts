import type { BridgeConfig, Config, Fault } from "../../config/index.ts";
import { checkFailed } from "./check-failed.ts";

/** Two rules of one bridge that would pass a message round and round. */
export interface BridgeLoop {
  readonly forward: string;
  readonly subscription: string;
}

/** The same over several bridges, in the order a message takes. */
export interface BridgeRing {
  readonly path: readonly string[];
  readonly forward: string;
}

/** What the parts themselves know to be wrong with a configuration made for them. */
export interface PartChecks {
  /** Two rules of the bridge that would pass a message round and round. */
  findLoop(cfg: BridgeConfig): BridgeLoop | null;
  /** Rules of several bridges that would do so together. */
  findRing(bridges: Config["bridges"]): BridgeRing | null;
  /** What is wrong with one bridge beyond the schema; `key` stands in front of the members. */
  bridgeFaults(cfg: BridgeConfig, key: string): readonly Fault[];
  /** Throws a GatewayError for users or access rules that could never work. */
  checkAccess(next: Config): void;
}

/**
 * What the schema cannot see of the bridges in a file; a change is checked before it is written.
 * @throws GatewayError CONFIG_CHECK_FAILED
 */
export function checkBridgeRules(bridges: Config["bridges"], parts: PartChecks): void {
  for (const [name, bridge] of Object.entries(bridges)) checkBridge(name, bridge, parts);
  checkRing(bridges, parts);
}

/** One bridge by itself. @throws GatewayError CONFIG_CHECK_FAILED */
export function checkBridge(name: string, bridge: BridgeConfig, parts: PartChecks): void {
  const key = `bridges.${name}`;
  const fault = parts.bridgeFaults(bridge, key)[0];
  if (fault !== undefined) {
    throw checkFailed(fault.key, fault.value, `expected ${fault.expected}`);
  }
  const loop = parts.findLoop(bridge);
  if (loop === null) return;
  const reason = `its messages would come back through the subscription ${loop.subscription}`;
  throw checkFailed(`${key}.forwards`, loop.forward, reason);
}

/** All bridges together. @throws GatewayError CONFIG_CHECK_FAILED */
export function checkRing(bridges: Config["bridges"], parts: PartChecks): void {
  const ring = parts.findRing(bridges);
  if (ring === null) return;
  const reason = `its messages would go round through the bridges ${ring.path.join(", ")}`;
  throw checkFailed(`bridges.${ring.path[0]}.forwards`, ring.forward, reason);
}
