import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { TEST_CONFIG } from "../helpers/gateway-process.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";
import { DiskShim } from "./disk-shim.ts";
import { figures, scaled } from "./scale.ts";

const HOURS_MEASURED = scaled(1, 24);
const HOUR_MS = 3_600_000;

/** An hour in five seconds: what is written each ten seconds is still apart from the next. */
const FACTOR = 720;

/** faults.md L6. */
const BUDGET_BYTES = 20_000_000;

interface Writes {
  /** What the kernel counted for the process: calls of write, and pages sent to a disk. */
  readonly processBytes: number;
  readonly pageBytes: number;
  readonly fileBytes: number;
  readonly fsyncs: number;
}

it(
  "a gateway with nothing to do writes less than 20 MB a day, its log included",
  async () => {
    const root = tempDir();
    const disk = new DiskShim(root);
    const configFile = join(tempDir(), "tidegate.yaml");
    writeFileSync(configFile, TEST_CONFIG);
    const script = join(import.meta.dirname, "fast-gateway.ts");
    const child = spawn(
      process.execPath,
      [script, configFile, join(root, "data"), String(FACTOR)],
      { env: { ...process.env, ...disk.env }, stdio: ["pipe", "pipe", "inherit"] },
    );
    const exited = new Promise((resolve) => child.once("exit", resolve));
    onTestFinished(async () => {
      child.kill("SIGKILL");
      await exited;
    });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    await until("the gateway to run", () => output.includes('"msg":"ready"'), 20_000);
    // The store's first files, its ballast and the first samples are the start's, not the day's.
    await passed(HOUR_MS / 4);

    const before = writes(child.pid, disk);
    const startMs = performance.now();
    await passed(HOURS_MEASURED * HOUR_MS);
    const after = writes(child.pid, disk);
    const hours = ((performance.now() - startMs) * FACTOR) / HOUR_MS;
    const perDay = (part: keyof Writes) => Math.round(((after[part] - before[part]) * 24) / hours);

    figures(
      `idle gateway, ${hours.toFixed(1)} hours: per day ${perDay("processBytes")} bytes written, ` +
        `${perDay("fileBytes")} of them to ${perDay("fsyncs")} fsyncs in its data directory, ` +
        `${perDay("pageBytes")} bytes of pages sent to disks`,
    );
    // It lives, and does what it does each minute.
    expect(child.exitCode).toBeNull();
    expect(perDay("fileBytes")).toBeGreaterThan(0);
    expect(perDay("processBytes")).toBeLessThan(BUDGET_BYTES);
    expect(perDay("pageBytes")).toBeLessThan(BUDGET_BYTES);
    // A wait for the disk costs an SD card a page or two beside what is written.
    expect(perDay("fileBytes") + 8192 * perDay("fsyncs")).toBeLessThan(BUDGET_BYTES);
    child.stdin.end();
    expect(await exited).toBe(0);
  },
  scaled(60_000, 300_000),
);

async function passed(gatewayMs: number): Promise<void> {
  const endMs = performance.now() + gatewayMs / FACTOR;
  await until("the time to pass", () => performance.now() >= endMs, gatewayMs / FACTOR + 10_000);
}

function writes(pid: number | undefined, { control }: DiskShim): Writes {
  const io = readFileSync(`/proc/${pid}/io`, "utf8");
  const count = (name: string) => Number(new RegExp(`^${name}: (\\d+)`, "m").exec(io)?.[1]);
  return {
    processBytes: count("wchar"),
    pageBytes: count("write_bytes"),
    fileBytes: control.bytesWritten,
    fsyncs: control.count("sync"),
  };
}
