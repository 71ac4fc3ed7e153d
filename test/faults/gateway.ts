import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Child, type Exit, startChild } from "../helpers/child.ts";
import { type Ports, TEST_CONFIG } from "../helpers/gateway-process.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const ROOT = join(import.meta.dirname, "../..");

/** The configuration of the fault tests: queues that no test fills. */
export const FAULT_CONFIG = `${TEST_CONFIG}
msq_len: 1000000
`;

/** One life of a gateway. */
export interface Life {
  readonly child: Child;
  readonly pid: number;
  readonly ports: Ports;
  /** From the start of the process to its being ready, less the time others had the CPU meanwhile. */
  readonly startMs: number;
  /** Whether it still runs. */
  isAlive(): boolean;
  /** Signals the process and waits for its end. */
  end(signal?: NodeJS.Signals): Promise<Exit>;
}

export interface GatewayOptions {
  readonly config?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Put in front of the gateway's own command line. */
  readonly wrapper?: readonly string[];
  /** The program to run with Node.js; the source by default. */
  readonly program?: string;
}

/** A gateway that lives, dies and starts again over one data directory. */
export class FaultyGateway {
  readonly dataDir = join(tempDir(), "data");
  readonly #configFile = join(tempDir(), "tidegate.yaml");
  #options: GatewayOptions;

  constructor(options: GatewayOptions = {}) {
    this.#options = options;
    writeFileSync(this.#configFile, options.config ?? FAULT_CONFIG);
  }

  /** Changes how the next life begins. */
  become(options: Omit<GatewayOptions, "config">): void {
    this.#options = { ...this.#options, ...options };
  }

  /** Starts the process and does not wait. */
  spawn(): Child {
    const { env, wrapper = [], program = join(ROOT, "src/main.ts") } = this.#options;
    const args = ["run", "--config", this.#configFile, "--data", this.dataDir];
    // As in systemd/tidegate.service.
    const node = [process.execPath, "--max-semi-space-size=8"];
    const [command = "", ...rest] = [...wrapper, ...node, program, ...args];
    // Compiled code is kept, as scripts/run does: it saves a third of each start.
    const cache = join(ROOT, "node_modules/.cache/compile");
    return startChild(command, rest, { env: { NODE_COMPILE_CACHE: cache, ...env } });
  }

  /** Starts the process and waits until it is ready. */
  async start(deadlineMs = 15_000): Promise<Life> {
    const startedMs = performance.now();
    const child = this.spawn();
    const found = await child.waitForOutput(/^\{.*"msg":"ready".*$/m, deadlineMs);
    const wallMs = performance.now() - startedMs;
    const { pid, ports } = JSON.parse(found[0]) as Pick<Life, "pid" | "ports">;
    const startMs = wallMs - waitedForCpuMs(pid);
    return {
      ...{ child, pid, ports, startMs },
      isAlive: () => child.process.exitCode === null && child.process.signalCode === null,
      end(signal = "SIGTERM") {
        process.kill(pid, signal);
        return child.exited;
      },
    };
  }
}

/** Bytes of the process's memory that are in RAM, and the number of its descriptors. */
export function readFootprint(pid: number): { rssBytes: number; descriptors: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kb = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
  return { rssBytes: kb * 1024, descriptors: readdirSync(`/proc/${pid}/fd`).length };
}

/** CPU time all threads of a process have used, ms, in steps of 10 (proc(5), `utime` and `stime`). */
export function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** How long the main thread of a process was ready to run and had no CPU. */
function waitedForCpuMs(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[1]) / 1e6;
  } catch {
    // Not every kernel counts it.
    return 0;
  }
}
