import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { testDirectory, testGateway, textOf } from "./config.testing.ts";
import { listVersions } from "./history.ts";
import { type ConfigInput, loadConfig } from "./load.ts";
import { beginStart } from "./start.ts";
import { parseYaml } from "./yaml-text.ts";

const LANES = 4;
const KILLS_PER_LANE = 13;
const SEED = 20260501;
const CHILD = join(import.meta.dirname, "kill-child.testing.ts");

test("kill -9 at any moment leaves the old or the new configuration, whole, and its history", async () => {
  const env = { NODE_COMPILE_CACHE: await warmCache() };
  const lanes = Array.from({ length: LANES }, (_, lane) => runLane(randomFrom(SEED + lane), env));
  // All of them to their end, so that no process outlives the test.
  await Promise.allSettled(lanes);
  const counts = await Promise.all(lanes);
  // Kills that hit no change prove nothing.
  expect(counts.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(LANES * KILLS_PER_LANE);
}, 60_000);

/**
 * A directory with our modules compiled, which takes two thirds off the start of every child. Node
 * writes it when a process ends by itself, so one has to.
 */
async function warmCache(): Promise<string> {
  const directory = testDirectory();
  const face = pathToFileURL(join(import.meta.dirname, "index.ts")).href;
  const child = spawn(process.execPath, ["-e", `import(${JSON.stringify(face)})`], {
    stdio: "inherit",
    env: { NODE_COMPILE_CACHE: directory },
  });
  await once(child, "close");
  return directory;
}

/** Kills one gateway's process again and again; returns how many changes it got done. */
async function runLane(random: () => number, env: NodeJS.ProcessEnv): Promise<number> {
  const { input, paths } = testGateway("msq_len: 1\n");
  let stored = 1;
  for (let kill = 0; kill < KILLS_PER_LANE; kill += 1) {
    const moment = { lines: 1 + Math.floor(random() * 3), thenMs: random() * 15 };
    const said = await runUntilKilled(input, moment, env);
    const acknowledged = said ?? stored;
    const { config } = loadConfig(input);
    expect([acknowledged, acknowledged + 1]).toContain(config.msq_len);
    stored = config.msq_len;
    if (stored > 1) {
      expect(config.http.port).toBe(stored);
      expect(textOf(config.tls.cert_file ?? "")).toContain(`\n${stored}\n`);
      expect(config.bridges[`b${(stored + 1) % 5}`]?.keepalive_s).toBe(stored);
      expect(config.bridges[`b${stored % 5}`]).toBeUndefined();
    }
    for (const { path, bytes } of await listVersions(paths.history)) {
      const { http, msq_len } = parseYaml(bytes, path);
      expect(http).toEqual({ port: msq_len });
    }
  }
  const report = await beginStart(input);
  expect(report).toMatchObject({ rolledBack: null, setAside: null, problem: null });
  expect(loadConfig(input).config.msq_len).toBe(stored);
  return stored;
}

/**
 * Kills the process some time after it has said so many lines, of which the first is `ready`.
 * Returns the last number it said it has stored, null when it got to none.
 */
async function runUntilKilled(
  input: ConfigInput,
  moment: { readonly lines: number; readonly thenMs: number },
  env: NodeJS.ProcessEnv,
): Promise<number | null> {
  const child = spawn(process.execPath, [CHILD, input.configFile ?? "", input.dataDir], {
    stdio: ["ignore", "pipe", "inherit"],
    env,
  });
  const lines = createInterface({ input: child.stdout });
  let last: number | null = null;
  const closed = once(child, "close");
  try {
    let count = 0;
    const { promise: said, resolve } = Promise.withResolvers<void>();
    lines.on("line", (line) => {
      if (line !== "ready") last = Number(line);
      count += 1;
      if (count === moment.lines) resolve();
    });
    await Promise.race([said, closed.then(() => expect.fail("it ended by itself"))]);
    await delay(moment.thenMs);
  } finally {
    child.kill("SIGKILL");
  }
  await closed;
  return last;
}

/** Numbers in [0, 1) that depend on the seed alone (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
