import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { GatewayError } from "../errors/index.ts";
import { ManualClock } from "../time/index.ts";
import { messageOf, noCheck, put, storeDeps, testGateway, textOf } from "./config.testing.ts";
import { type ConfigStore, openConfigStore } from "./config-store.ts";
import { diskFiles } from "./durable-files.ts";
import { type ConfigInput, loadConfig } from "./load.ts";
import { beginStart, failStart } from "./start.ts";

const START_MS = Date.UTC(2026, 4, 1);

/** A gateway whose confirmed configuration has HTTP port 1, with a change to port 2 stored. */
async function changedGateway(confirmS?: number) {
  const gateway = testGateway("");
  const store = openConfigStore(loadConfig(gateway.input), storeDeps);
  await store.adopt({ http: { port: 1 } });
  await store.change({ http: { port: 2 } }, noCheck, { confirmS });
  return gateway;
}

/** One start of the service up to the point where it would run. */
async function start(input: ConfigInput) {
  const report = await beginStart(input, { clock: new ManualClock(START_MS), files: diskFiles });
  const store = openConfigStore(loadConfig(input), storeDeps);
  return { report, store, port: store.running.http.port };
}

const status = (store: ConfigStore) => store.status();

describe("a changed configuration", () => {
  test("is on trial until it is confirmed, and then stays", async () => {
    const { input } = await changedGateway();
    const first = await start(input);
    expect(first.report).toMatchObject({ trialStart: 1, rolledBack: null, problem: null });
    expect(first.port).toBe(2);
    expect(status(first.store)).toMatchObject({ onTrial: true, restartPending: false });
    await first.store.confirm();
    expect(status(first.store).onTrial).toBe(false);
    for (let n = 0; n < 5; n += 1) {
      const later = await start(input);
      expect([later.port, later.report.trialStart]).toEqual([2, 0]);
    }
  });

  test("gives way to the one before it after two starts that were not confirmed", async () => {
    const { input, aside } = await changedGateway();
    expect((await start(input)).report.trialStart).toBe(1);
    expect((await start(input)).report.trialStart).toBe(2);
    const third = await start(input);
    expect(third.port).toBe(1);
    expect(third.report.trialStart).toBe(0);
    const { rolledBack } = status(third.store);
    expect(rolledBack).toEqual(third.report.rolledBack);
    expect(rolledBack).toMatchObject({
      atMs: START_MS,
      reason:
        "2 starts with the changed configuration failed: the process ended before it was confirmed",
    });
    expect(textOf(rolledBack?.rejectedFile ?? "")).toContain("port: 2");
    expect(aside()).toHaveLength(1);
    const fourth = await start(input);
    expect([fourth.port, fourth.report.rolledBack]).toEqual([1, null]);
    expect(status(fourth.store).rolledBack).toEqual(rolledBack);
    await fourth.store.change({ msq_len: 5 }, noCheck);
    expect(status(fourth.store).rolledBack).toBeNull();
    expect(status((await start(input)).store).rolledBack).toBeNull();
  });

  test("waits to be confirmed, start after start, when that is wanted", async () => {
    const { input } = await changedGateway(30);
    const first = await start(input);
    expect(status(first.store)).toMatchObject({ onTrial: true, confirmS: 30 });
    await first.store.stop();
    const second = await start(input);
    expect(status(second.store)).toMatchObject({ onTrial: true, confirmS: 30 });
    await second.store.confirm();
    expect(status(second.store)).toMatchObject({ onTrial: false, confirmS: null });
    expect((await start(input)).report.trialStart).toBe(0);
  });

  test("given up comes back at the next start, with the reason", async () => {
    const { input } = await changedGateway(30);
    const first = await start(input);
    await first.store.giveUp("nobody confirmed it");
    await first.store.stop();
    const { report, port } = await start(input);
    expect(port).toBe(1);
    expect(report.rolledBack?.reason).toBe("nobody confirmed it");
  });

  test("is on trial when a confirmation is wanted, also if it needs no restart", async () => {
    const { input } = testGateway("");
    const store = openConfigStore(loadConfig(input), storeDeps);
    await store.change({ auto_subscribe: [{ topic: "a" }] }, noCheck, { confirmS: 10 });
    const { store: next } = await start(input);
    expect(status(next)).toMatchObject({ onTrial: true, confirmS: 10 });
    await next.giveUp("nobody confirmed it");
    expect((await start(input)).store.running.auto_subscribe).toEqual([]);
  });

  test("changed again without asking for it needs no confirmation any more", async () => {
    const { input } = await changedGateway(30);
    const { store } = await start(input);
    await store.change({ http: { port: 3 } }, noCheck);
    const { store: next, port } = await start(input);
    expect(port).toBe(3);
    expect(status(next)).toMatchObject({ onTrial: true, confirmS: null });
  });

  test("gives way to no file at all when there was none before", async () => {
    const { input, paths } = testGateway("");
    const store = openConfigStore(loadConfig(input), storeDeps);
    await store.change({ http: { port: 2 } }, noCheck);
    for (let n = 0; n < 2; n += 1) expect((await start(input)).port).toBe(2);
    expect((await start(input)).port).toBe(8081);
    expect(readdirSync(paths.directory)).not.toContain("current.yaml");
  });

  test("is never fallen back to once it was given up", async () => {
    const { input, paths } = await changedGateway();
    for (let n = 0; n < 3; n += 1) await start(input);
    await put(paths.current, "\0");
    expect((await start(input)).port).toBe(1);
  });

  test("gives way to a file that was put there by hand, when that is what it replaced", async () => {
    const { input, paths } = testGateway("");
    await put(paths.current, "# by hand\nhttp: {port: 7}\n");
    const store = openConfigStore(loadConfig(input), storeDeps);
    await store.change({ http: { port: 2 } }, noCheck);
    for (let n = 0; n < 3; n += 1) await start(input);
    expect(textOf(paths.current)).toBe("# by hand\nhttp: {port: 7}\n");
  });

  test("asks for a restart when its start fails, and its reasons are kept", async () => {
    const { input } = await changedGateway();
    const bind = new GatewayError("LISTENER_BIND_FAILED", {
      listener: "tcp",
      bind: "::",
      tcpPort: 2,
      reason: "EADDRINUSE",
    });
    await start(input);
    expect(await failStart(input.dataDir, bind)).toBe(75);
    await start(input);
    expect(await failStart(input.dataDir, new Error("second"))).toBe(75);
    const third = await start(input);
    expect(third.port).toBe(1);
    expect(third.report.rolledBack?.reason).toBe(
      "2 starts with the changed configuration failed: listener tcp cannot listen on :: port 2: EADDRINUSE; second",
    );
    expect(await failStart(input.dataDir, bind)).toBe(70);
  });

  test("asks for a restart also when the operator's file became unusable meanwhile, and only then gives up", async () => {
    const { input } = await changedGateway();
    await put(input.configFile, "msq_len: none\n");
    for (const code of [75, 75, 78]) {
      await beginStart(input);
      const err = await errorOf(() => loadConfig(input));
      expect(await failStart(input.dataDir, err)).toBe(code);
    }
    await put(input.configFile, "");
    expect((await start(input)).port).toBe(1);
  });

  test("is not given up by an orderly stop", async () => {
    const { input } = await changedGateway();
    for (let n = 0; n < 5; n += 1) {
      const { report, store, port } = await start(input);
      expect([report.trialStart, port]).toEqual([1, 2]);
      await store.stop();
      await store.stop();
    }
  });

  test("is given up also when the parts are stopped in order after a failed start", async () => {
    const { input } = await changedGateway();
    for (let n = 1; n <= 2; n += 1) {
      const { report, store } = await start(input);
      expect(report.trialStart).toBe(n);
      await store.stop();
      expect(await failStart(input.dataDir, new Error("no"))).toBe(75);
    }
    expect((await start(input)).port).toBe(1);
  });

  test("is given up when one start dies and another reports its failure", async () => {
    const { input } = await changedGateway();
    await start(input);
    await start(input);
    await failStart(input.dataDir, new Error("no"));
    const third = await start(input);
    expect(third.port).toBe(1);
    expect(third.report.rolledBack?.reason).toContain("failed: no");
  });

  test("that a further change replaces before it was confirmed returns to what worked last", async () => {
    const { input } = await changedGateway();
    const { store } = await start(input);
    await store.change({ http: { port: 3 } }, noCheck);
    expect((await start(input)).report.trialStart).toBe(1);
    expect((await start(input)).port).toBe(3);
    expect((await start(input)).port).toBe(1);
  });

  test("that is confirmed while a further change waits is what that one returns to", async () => {
    const { input } = await changedGateway();
    const { store } = await start(input);
    await store.change({ http: { port: 3 } }, noCheck);
    await store.confirm();
    for (let n = 0; n < 2; n += 1) expect((await start(input)).port).toBe(3);
    expect((await start(input)).port).toBe(2);
  });

  test("that is taken back before the restart is not on trial", async () => {
    const { input } = await changedGateway();
    const store = openConfigStore(loadConfig(input), storeDeps);
    await store.change({ http: { port: 1 } }, noCheck);
    const { report, port } = await start(input);
    expect([report.trialStart, port]).toEqual([0, 1]);
  });

  test("keeps a live change made during its trial", async () => {
    const { input } = await changedGateway();
    const { store } = await start(input);
    await store.change({ msq_len: 5 }, noCheck);
    await store.confirm();
    const later = await start(input);
    expect([later.report.trialStart, later.port, later.store.running.msq_len]).toEqual([0, 2, 5]);
  });

  test("that somebody replaced by hand is not on trial any more", async () => {
    const { input, paths } = await changedGateway();
    await put(paths.current, "http: {port: 9}\n");
    for (let n = 0; n < 4; n += 1) {
      const { report, port } = await start(input);
      expect([report.trialStart, port]).toEqual([0, 9]);
    }
  });

  test("that a power cut damaged gives way to what worked last at once", async () => {
    const { input, paths, aside } = await changedGateway();
    await put(paths.current, Buffer.alloc(512));
    const { report, port } = await start(input);
    expect(port).toBe(1);
    expect(report.setAside?.reason).toContain("control character");
    expect(aside()).toEqual([expect.stringMatching(/^damaged-/)]);
  });

  test("is judged by its file alone when the record is damaged", async () => {
    for (const record of ["", "{", "[]", '{"previous":1}', '{"previous":null,"onTrial":"x"}']) {
      const { input, paths } = await changedGateway();
      await put(paths.trial, record);
      const { report, port } = await start(input);
      expect([report.trialStart, port]).toEqual([0, 2]);
    }
  });
});

describe("a damaged file of the API", () => {
  const DAMAGES: [string, string | Buffer][] = [
    ["full of NULs", Buffer.alloc(4096)],
    ["no text", Buffer.from([0xff, 0xfe, 0xfd])],
    ["bad YAML", "http: [\n"],
    ["cut off", "http:\n  port: 2\nbridges:\n  cloud:\n    ser"],
    ["of unknown keys", "no_such_key: 1\n"],
    ["of bad values", "http: {port: many}\n"],
    ["too large", "#".repeat(2_000_000)],
    ["full of brackets", "[".repeat(500_000)],
  ];

  test.each(DAMAGES)("%s is replaced by the newest version", async (_, content) => {
    const { input, paths, aside } = testGateway("msq_len: 9\n");
    const store = openConfigStore(loadConfig(input), storeDeps);
    await store.adopt({ http: { port: 1 } });
    await store.adopt({ http: { port: 2 } });
    await put(paths.current, content);
    const { report, store: next, port } = await start(input);
    expect([port, next.running.msq_len]).toEqual([2, 9]);
    expect(report.problem).toBeNull();
    expect(status(next).setAside).toEqual(report.setAside);
    expect(aside()).toHaveLength(1);
    expect((await start(input)).report.setAside).toBeNull();
    await next.change({ msq_len: 10 }, noCheck);
    expect((await start(input)).store.running).toMatchObject({ msq_len: 10, http: { port: 2 } });
  });

  test("gives way to an older version when newer ones are damaged too, else to none", async () => {
    const { input, paths } = testGateway("msq_len: 9\n");
    const store = openConfigStore(loadConfig(input), storeDeps);
    await store.adopt({ http: { port: 1 } });
    await store.adopt({ http: { port: 2 } });
    const [older, newest] = readdirSync(paths.history).sort();
    await put(paths.current, "\0");
    await put(join(paths.history, newest ?? ""), "\0");
    expect((await start(input)).port).toBe(1);
    await put(paths.current, "\0");
    await put(join(paths.history, older ?? ""), "\0");
    const last = await start(input);
    expect([last.port, last.store.running.msq_len]).toEqual([8081, 9]);
  });

  test("may even be a directory, or may not be readable", async () => {
    const { input, paths, aside } = testGateway("");
    await openConfigStore(loadConfig(input), storeDeps).adopt({ http: { port: 1 } });
    rmSync(paths.current);
    mkdirSync(join(paths.current, "x"), { recursive: true });
    const { port, report } = await start(input);
    expect(port).toBe(1);
    expect(report.setAside?.reason).toContain("not a regular file");
    expect(aside()).toHaveLength(1);
  });

  test("is not replaced when the operator's file is to blame", async () => {
    const { input, paths } = testGateway("msq_len: none\n");
    await put(paths.current, "http: {port: 1}\n");
    expect(await beginStart(input)).toMatchObject({ setAside: null, problem: null });
    expect(await messageOf(() => loadConfig(input))).toContain("CONFIG_VALUE_INVALID msq_len");
    expect(textOf(paths.current)).toBe("http: {port: 1}\n");
  });

  test("leaves five copies at most", async () => {
    const { input, paths, aside } = testGateway("");
    for (let n = 0; n < 8; n += 1) {
      await put(paths.current, `broken ${n}`);
      await start(input);
    }
    expect(aside()).toHaveLength(5);
  });
});

test("the first start finds nothing and makes the directory", async () => {
  const { input, paths } = testGateway("");
  expect(await beginStart(input)).toEqual({
    trialStart: 0,
    rolledBack: null,
    setAside: null,
    problem: null,
  });
  expect(readdirSync(paths.directory)).toEqual([]);
});

test("unfinished files of a process that died are removed at the next start", async () => {
  const { input, paths } = await changedGateway();
  const unfinished = join(paths.directory, "current.yaml.0123456789ab.tmp");
  writeFileSync(unfinished, "half");
  writeFileSync(join(paths.directory, "notes.tmp"), "somebody's");
  await beginStart(input);
  const names = readdirSync(paths.directory);
  expect(names).not.toContain("current.yaml.0123456789ab.tmp");
  expect(names).toContain("notes.tmp");
});

test.each<[string, unknown, number]>([
  ["a bad file", new GatewayError("CONFIG_SYNTAX", { path: "x", reason: "y" }), 78],
  [
    "a bad command line",
    new GatewayError("COMMAND_LINE_INVALID", { argument: "x", reason: "y" }),
    78,
  ],
  ["a full disk", new GatewayError("CONFIG_WRITE_FAILED", { path: "x", reason: "ENOSPC" }), 70],
  ["a defect", new TypeError("x"), 70],
  ["nothing known", "x", 70],
])("without a trial, %s ends with the exit code that says so", async (_, err, code) => {
  const { input } = testGateway("");
  expect(await failStart(input.dataDir, err)).toBe(code);
});

async function errorOf(action: () => unknown): Promise<unknown> {
  try {
    await action();
  } catch (err) {
    return err;
  }
  throw new Error("expected an error, but nothing was thrown");
}
