import { cpSync, existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isGatewayError } from "../errors/index.ts";
import { ManualClock } from "../time/index.ts";
import { noCheck, put, storeDeps, testGateway } from "./config.testing.ts";
import { openConfigStore } from "./config-store.ts";
import { deviceId } from "./device-id.ts";
import { type DurableFiles, diskFiles } from "./durable-files.ts";
import { DyingFiles, ENDINGS, type Ending } from "./dying-files.testing.ts";
import { type ConfigInput, loadConfig } from "./load.ts";
import { beginStart } from "./start.ts";

const clock = new ManualClock();

/** A value in several keys, so that a mixture of two configurations would show. */
const state = (n: number) => ({
  msq_len: n,
  http: { port: n },
  listeners: { tcp: { port: n }, ws: { port: n } },
  bridges: { b: { enable: false, keepalive_s: n } },
});

/** The one number that all keys agree on. */
function stateOf(input: ConfigInput): number {
  const { msq_len, http, listeners, bridges } = loadConfig(input).config;
  const seen = [
    msq_len,
    http.port,
    listeners.tcp.port,
    listeners.ws.port,
    bridges["b"]?.keepalive_s,
  ];
  expect(new Set(seen).size, `mixed: ${seen}`).toBe(1);
  return msq_len;
}

async function start(input: ConfigInput, files: DurableFiles = diskFiles) {
  const report = await beginStart(input, { clock, files });
  const loaded = loadConfig(input);
  return { report, store: openConfigStore(loaded, { ...storeDeps, files }) };
}

/** Starts that nobody confirms, until nothing is on trial any more. */
async function startUntilSettled(input: ConfigInput): Promise<number> {
  for (let n = 0; n < 4; n += 1) {
    if ((await start(input)).report.trialStart === 0) return stateOf(input);
  }
  throw new Error("still on trial after four starts");
}

/**
 * Runs `act` once for every operation it consists of and every way that one can end, each time on
 * a copy of what `prepare` made, and lets `judge` look at what is left.
 */
async function atEveryOperation<T>(
  prepare: (input: ConfigInput) => Promise<void>,
  act: (input: ConfigInput, files: DurableFiles) => Promise<T>,
  judge: (input: ConfigInput, done: T | null, where: string) => Promise<void>,
): Promise<number> {
  const { input } = testGateway("");
  await prepare(input);
  const template = `${input.dataDir}.template`;
  cpSync(input.dataDir, template, { recursive: true, preserveTimestamps: true });
  let operations = 0;
  for (let last = 1; ; last += 1) {
    let isReached = false;
    for (const ending of ENDINGS) {
      rmSync(input.dataDir, { recursive: true });
      cpSync(template, input.dataDir, { recursive: true, preserveTimestamps: true });
      const files = new DyingFiles(last, ending);
      const done = await outcome(() => act(input, files));
      isReached ||= files.isDead;
      await judge(input, done, describeEnd(last, ending));
    }
    if (!isReached) return operations;
    operations = last;
  }
}

describe("whichever operation the machine stops at", () => {
  test("a change leaves the old or the new configuration, and the new one only on trial", async () => {
    const operations = await atEveryOperation(
      async (input) => {
        await openConfigStore(loadConfig(input), storeDeps).adopt(state(1));
      },
      async (input, files) => {
        const store = openConfigStore(loadConfig(input), { ...storeDeps, files });
        return store.change(state(2), noCheck);
      },
      async (input, done, where) => {
        const left = stateOf(input);
        expect([1, 2], where).toContain(left);
        if (done !== null) expect(left, where).toBe(2);
        const { report, store } = await start(input);
        expect(report.trialStart, where).toBe(left === 2 ? 1 : 0);
        expect(store.status().rolledBack, where).toBeNull();
        expect(await startUntilSettled(input), where).toBe(1);
        const { store: last } = await start(input);
        expect(last.status().rolledBack === null, where).toBe(left === 1);
        await last.change(state(3), noCheck);
        expect(stateOf(input), where).toBe(3);
      },
    );
    expect(operations).toBeGreaterThanOrEqual(5);
  });

  test("a second change on top of one on trial leaves either, and still returns to what worked", async () => {
    await atEveryOperation(
      async (input) => {
        const store = openConfigStore(loadConfig(input), storeDeps);
        await store.adopt(state(1));
        await store.change(state(2), noCheck);
        await start(input);
      },
      async (input, files) => {
        const store = openConfigStore(loadConfig(input), { ...storeDeps, files });
        return store.change(state(3), noCheck);
      },
      async (input, done, where) => {
        const left = stateOf(input);
        expect(done === null ? [2, 3] : [3], where).toContain(left);
        expect(await startUntilSettled(input), where).toBe(1);
      },
    );
  });

  test("the return gets done by the next start, and says so", async () => {
    const operations = await atEveryOperation(
      async (input) => {
        const store = openConfigStore(loadConfig(input), storeDeps);
        await store.adopt(state(1));
        await store.change(state(2), noCheck);
        await start(input);
        await start(input);
      },
      (input, files) => beginStart(input, { clock, files }),
      async (input, _, where) => {
        expect([1, 2], where).toContain(stateOf(input));
        const { store } = await start(input);
        expect(stateOf(input), where).toBe(1);
        const { rolledBack } = store.status();
        expect(rolledBack?.reason, where).toContain("2 starts");
        expect(existsSync(rolledBack?.rejectedFile ?? ""), where).toBe(true);
        expect(await startUntilSettled(input), where).toBe(1);
      },
    );
    expect(operations).toBeGreaterThanOrEqual(5);
  });

  test("counting a start and confirming it leave nothing half done", async () => {
    await atEveryOperation(
      async (input) => {
        const store = openConfigStore(loadConfig(input), storeDeps);
        await store.adopt(state(1));
        await store.change(state(2), noCheck);
      },
      async (input, files) => {
        const { store } = await start(input, files);
        await store.confirm();
      },
      async (input, done, where) => {
        expect(stateOf(input), where).toBe(2);
        const { store } = await start(input);
        expect(stateOf(input), where).toBe(2);
        await store.confirm();
        expect(await startUntilSettled(input), where).toBe(2);
        expect(done === undefined || done === null, where).toBe(true);
      },
    );
  });

  test("the replacement of a damaged file gets done by the next start", async () => {
    await atEveryOperation(
      async (input) => {
        await openConfigStore(loadConfig(input), storeDeps).adopt(state(1));
        await put(join(input.dataDir, "config/current.yaml"), Buffer.alloc(100));
      },
      (input, files) => beginStart(input, { clock, files }),
      async (input, _, where) => {
        const { store } = await start(input);
        expect(stateOf(input), where).toBe(1);
        expect(store.status().setAside?.reason, where).toContain("control character");
      },
    );
  });

  test("the device's name is the old one or a new one, never half of one", async () => {
    await atEveryOperation(
      (input) => put(join(input.dataDir, "device-id"), "damaged"),
      (input, files) => deviceId(input.dataDir, files),
      async (input, done, where) => {
        const id = await deviceId(input.dataDir);
        expect(id, where).toMatch(/^[0-9a-f]{8}$/);
        if (done !== null) expect(id, where).toBe(done);
        expect(await deviceId(input.dataDir), where).toBe(id);
      },
    );
  });
});

test("a change that the disk refuses is not made, and the next one is", async () => {
  const { input, paths } = testGateway("");
  await openConfigStore(loadConfig(input), storeDeps).adopt(state(1));
  for (let last = 1; last <= 4; last += 1) {
    for (const ending of ENDINGS) {
      const dying = new DyingFiles(last, ending);
      // The disk is fine again after one error.
      const files = recovering(dying);
      const store = openConfigStore(loadConfig(input), { ...storeDeps, files });
      const done = await outcome(() => store.change(state(2), noCheck));
      expect(stateOf(input)).toBe(done === null ? 1 : 2);
      expect(store.stored().msq_len).toBe(done === null ? 1 : 2);
      expect(store.running.msq_len).toBe(done === null ? 1 : 2);
      const { store: next } = await start(input);
      await next.adopt(state(1));
      await next.confirm();
      expect(stateOf(input)).toBe(1);
    }
  }
  expect(readdirSync(paths.directory).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

function recovering(dying: DyingFiles): DurableFiles {
  const now = () => (dying.isDead ? diskFiles : dying);
  return {
    write: (path, content) => now().write(path, content),
    keep: (path, as) => now().keep(path, as),
    rename: (from, to) => now().rename(from, to),
    remove: (path) => now().remove(path),
    makeDirectory: (path) => now().makeDirectory(path),
  };
}

/** What `act` returned; null when the files failed it. */
async function outcome<T>(act: () => Promise<T>): Promise<T | null> {
  try {
    return await act();
  } catch (err) {
    if (isGatewayError(err, "CONFIG_WRITE_FAILED")) return null;
    throw err;
  }
}

function describeEnd(last: number, ending: Ending): string {
  return `dead ${ending} operation ${last}`;
}
