import { once } from "node:events";
import { createServer } from "node:net";
import type { Config } from "../../config/index.ts";
import { isGatewayError, reasonOf } from "../../errors/index.ts";
import { checkFailed } from "./check-failed.ts";

/** One place the gateway listens on, and the canonical keys that say so. */
interface Endpoint {
  readonly portKey: string;
  readonly bindKey: string;
  readonly bind: string;
  readonly tcpPort: number;
}

/** A name that does not resolve must not hold up the answer. */
const TRY_LIMIT_MS = 2_000;

/**
 * No two listeners share a port, and every endpoint that `previous` did not have is free: it is
 * really opened. Ports in `held` belong to this process, and the restart frees them.
 * @throws GatewayError CONFIG_CHECK_FAILED naming the port, or the address when that is at fault
 */
export async function checkPorts(
  next: Config,
  previous: Config,
  held: ReadonlySet<number>,
): Promise<void> {
  const known = endpointsOf(previous);
  const wanted = endpointsOf(next);
  const changed = wanted.filter(
    (end) => !known.some((old) => old.portKey === end.portKey && isSame(old, end)),
  );
  for (const end of changed) {
    const other = wanted.find((candidate) => candidate !== end && collides(candidate, end));
    if (other !== undefined) {
      throw checkFailed(end.portKey, end.tcpPort, "another listener is configured on this port");
    }
  }
  for (const end of changed) {
    if (!held.has(end.tcpPort)) await tryListen(end);
  }
}

function endpointsOf(config: Config): Endpoint[] {
  const listeners = Object.entries(config.listeners).flatMap(([name, cfg]) =>
    cfg.enable ? [endpoint(`listeners.${name}`, "port", cfg.bind, cfg.port)] : [],
  );
  for (const [id, cfg] of Object.entries(config.extra_listeners)) {
    if (cfg.enable) listeners.push(endpoint(`extra_listeners.${id}`, "port", cfg.bind, cfg.port));
  }
  const { http, https } = config;
  if (https.enable) listeners.push(endpoint("https", "port", https.bind, https.port));
  if (!http.enable) return listeners;
  const main = endpoint("http", "port", http.bind, http.port);
  if (http.emqx_port === null) return [...listeners, main];
  return [...listeners, main, endpoint("http", "emqx_port", http.bind, http.emqx_port)];
}

function endpoint(prefix: string, port: string, bind: string, tcpPort: number): Endpoint {
  return { portKey: `${prefix}.${port}`, bindKey: `${prefix}.bind`, bind, tcpPort };
}

function isSame(a: Endpoint, b: Endpoint): boolean {
  return a.bind === b.bind && a.tcpPort === b.tcpPort;
}

function collides(a: Endpoint, b: Endpoint): boolean {
  if (a.tcpPort !== b.tcpPort || a.tcpPort === 0) return false;
  return a.bind === b.bind || isWildcard(a.bind) || isWildcard(b.bind);
}

function isWildcard(bind: string): boolean {
  return bind === "::" || bind === "0.0.0.0";
}

async function tryListen(end: Endpoint): Promise<void> {
  const server = createServer();
  const deadline = AbortSignal.timeout(TRY_LIMIT_MS);
  try {
    server.listen({ host: end.bind, port: end.tcpPort, exclusive: true });
    await once(server, "listening", { signal: deadline });
  } catch (err) {
    // A machine without IPv6: the listeners fall back to every IPv4 address.
    if (end.bind === "::" && codeOf(err) === "EAFNOSUPPORT") {
      return await tryListen({ ...end, bind: "0.0.0.0" });
    }
    throw refusal(end, err);
  } finally {
    server.on("error", () => undefined);
    server.close();
  }
}

function refusal(end: Endpoint, err: unknown) {
  const isPortAtFault = ["EADDRINUSE", "EACCES"].includes(codeOf(err) ?? "");
  return isPortAtFault
    ? checkFailed(end.portKey, end.tcpPort, portReason(err), err)
    : checkFailed(end.bindKey, end.bind, `nothing can listen there: ${reasonOf(err)}`, err);
}

function portReason(err: unknown): string {
  return codeOf(err) === "EADDRINUSE"
    ? "the port is in use by another program"
    : "the gateway may not listen on this port";
}

function codeOf(err: unknown): string | undefined {
  if (isGatewayError(err) || !(err instanceof Error) || !("code" in err)) return undefined;
  return String(err.code);
}
