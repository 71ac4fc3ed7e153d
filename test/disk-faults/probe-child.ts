/**
 * A process that opens data directories for a test, which a damaged one may kill or hold without
 * harm to the test. Reads one request a line, answers with one line: see probe.ts.
 */
import { createInterface } from "node:readline";
import { beginStart, loadConfig } from "../../src/config/index.ts";
import { createLog } from "../../src/log/index.ts";
import { createStore } from "../../src/store/index.ts";
import { systemClock } from "../../src/time/index.ts";
import type { Answer, ConfigContent, Request, StoreReport } from "./probe.ts";
import { contentOf } from "./store-content.ts";
import { fillStore, SESSION_RECORD } from "./store-fixture.ts";
import { loadStore } from "./store-load.ts";

for await (const line of createInterface({ input: process.stdin })) {
  const request: Request = JSON.parse(line);
  const startedMs = performance.now();
  let answer: Answer;
  try {
    answer = { result: await answerTo(request), durationMs: performance.now() - startedMs };
  } catch (err) {
    answer = { error: describe(err), durationMs: performance.now() - startedMs };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

function answerTo(request: Request): Promise<unknown> {
  switch (request.action) {
    case "store":
      return readStore(request.path);
    case "config":
      return readConfig(request.path);
    case "fill":
      return fillStore(request.path, request.seed);
    case "load":
      return loadStore(request.path, request.load);
  }
}

/** Starts the store, reads everything, and shows that it still takes something. */
async function readStore(path: string): Promise<StoreReport> {
  const startedMs = performance.now();
  const lines: string[] = [];
  const log = createLog({ level: "warn" }, { write: (line) => void lines.push(line) });
  const store = createStore({ log, clock: systemClock }, { path });
  await store.start();
  try {
    const startMs = performance.now() - startedMs;
    const content = await contentOf(store);
    const session = store.session("after the fault");
    session.put({ ...SESSION_RECORD, seqLimit: 1 });
    await store.committed(true);
    return { ...content, log: lines.join(""), startMs };
  } finally {
    await store.stop();
  }
}

/** Starts as the gateway does, as far as the configuration goes. */
async function readConfig(dataDir: string): Promise<ConfigContent> {
  const input = { configFile: null, dataDir, env: {} };
  const { setAside, rolledBack } = await beginStart(input);
  const { config } = loadConfig(input);
  return {
    values: [config.msq_len, config.nanomq.property_size, config.nanomq.qos_duration],
    incident: setAside ?? rolledBack,
  };
}

function describe(err: unknown): string {
  if (!(err instanceof Error)) return String(err);
  const cause = err.cause === undefined ? "" : ` <- ${describe(err.cause)}`;
  return `${"code" in err ? `${err.code} ` : ""}${err.message}${cause}`;
}
