import { type ChildProcess, spawn } from "node:child_process";
import { onTestFinished } from "vitest";
import { until } from "./until.ts";

/** How a child process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A running program with everything it printed so far. */
export interface Child {
  readonly process: ChildProcess;
  readonly exited: Promise<Exit>;
  output(): string;
  /** Resolves with the first match in the output, from offset `from` on. */
  waitForOutput(pattern: RegExp, deadlineMs?: number, from?: number): Promise<RegExpExecArray>;
  /** Sends a signal to this process and waits for its end. */
  kill(signal?: NodeJS.Signals): Promise<Exit>;
}

/** Starts a program; it is killed when the test ends if it still runs. */
export function startChild(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Child {
  const child = spawn(command, args, {
    ...options,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  let exit: Exit | undefined;
  const exited = new Promise<Exit>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      exit = { code, signal };
      resolve(exit);
    });
  });
  onTestFinished(async () => {
    if (exit === undefined) child.kill("SIGKILL");
    await exited;
  });
  return {
    process: child,
    exited,
    output: () => output,
    waitForOutput: (pattern, deadlineMs, from = 0) =>
      until(
        `${pattern} in the output of ${command}:\n${output.slice(from)}`,
        () => {
          const found = pattern.exec(output.slice(from));
          if (found !== null) return found;
          if (exit !== undefined) {
            throw new Error(
              `${command} ended (${JSON.stringify(exit)}) before ${pattern}:\n${output}`,
            );
          }
          return undefined;
        },
        deadlineMs,
      ),
    kill(signal = "SIGTERM") {
      child.kill(signal);
      return exited;
    },
  };
}
