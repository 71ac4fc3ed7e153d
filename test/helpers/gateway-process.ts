import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Child, startChild } from "./child.ts";
import { tempDir } from "./temp-dir.ts";

const ROOT = join(import.meta.dirname, "../..");

/** The ports a ready gateway named in its log, by listener. */
export interface Ports {
  readonly tcp: number;
  readonly ws: number;
  readonly http: number;
}

/** What the log line of a ready gateway tells. */
export type Ready = Pick<GatewayProcess, "ports" | "pid" | "readyAt">;

/** A gateway running as its own process, the way a user or systemd starts it. */
export interface GatewayProcess {
  readonly child: Child;
  readonly dataDir: string;
  readonly ports: Ports;
  /** The gateway's own process, also under a supervisor. */
  readonly pid: number;
  /** Where the log stood when the gateway was ready: later lines begin here. */
  readonly readyAt: number;
  /** Waits until the gateway has started again and returns its ports then. */
  readyAgain(after: number, deadlineMs?: number): Promise<Ready>;
}

/** The operator's file of the tests: free ports, anonymous clients, admin/public. */
export const TEST_CONFIG = `
listeners:
  tcp: {bind: 127.0.0.1, port: 0}
  ws: {bind: 127.0.0.1, port: 0}
http: {bind: 127.0.0.1, port: 0, emqx_port: null, password: public}
auth: {allow_anonymous: true}
`;

/**
 * Starts a gateway: `supervised` by scripts/run (it comes back after exit 75 or a crash) or the bare
 * process. Resolves when it is ready.
 */
export async function startGateway(
  options: {
    supervised?: boolean;
    config?: string;
    dataDir?: string;
    env?: NodeJS.ProcessEnv;
  } = {},
): Promise<GatewayProcess> {
  const dataDir = options.dataDir ?? join(tempDir(), "data");
  const configFile = join(tempDir(), "tidegate.yaml");
  writeFileSync(configFile, options.config ?? TEST_CONFIG);
  const args = ["--config", configFile, "--data", dataDir];
  const env = options.env ?? {};
  const child = options.supervised
    ? startChild(join(ROOT, "scripts/run"), args, { env })
    : startChild(process.execPath, [join(ROOT, "src/main.ts"), "run", ...args], { env });
  const readyAgain = async (after: number, deadlineMs = 15_000): Promise<Ready> => {
    const found = await child.waitForOutput(/^.*"msg":"ready".*$/m, deadlineMs, after);
    const line = JSON.parse(found[0].slice(found[0].indexOf("{"))) as Omit<Ready, "readyAt">;
    return { ports: line.ports, pid: line.pid, readyAt: after + found.index + found[0].length };
  };
  return { child, dataDir, ...(await readyAgain(0)), readyAgain };
}
