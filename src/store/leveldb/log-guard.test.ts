import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../open-store.testing.ts";
import { levelDriver } from "./level.ts";
import { LogGuard } from "./log-guard.ts";

/** A closed folder with something in its log, and the guard that has seen it. */
async function folderWithLog() {
  const path = join(temporaryFolder(), "db");
  const handle = levelDriver.create(path);
  await handle.open();
  for (let i = 0; i < 3; i++) {
    const batch = handle.batch();
    batch.put(Buffer.from(`k${i}`), Buffer.alloc(40_000 * i, "v"));
    batch.del(Buffer.from(`k${i - 1}`));
    await batch.write({ sync: true });
  }
  await handle.close();
  return { path, guard: await LogGuard.read(path) };
}

test("what LevelDB passed over because it could not read its log is given to it again", async () => {
  const { path, guard } = await folderWithLog();
  for (const name of readdirSync(path)) {
    if (name.endsWith(".log")) writeFileSync(join(path, name), "");
  }
  const handle = levelDriver.create(path);
  await handle.open();
  expect(await handle.get(Buffer.from("k2"))).toBeUndefined();
  const notes = readFileSync(join(path, "LOG"), "latin1");
  writeFileSync(
    join(path, "LOG"),
    `${notes}Ignoring error IO error: 000003.log: Input/output error\n`,
  );
  await guard.restore(() => handle.batch());
  expect(await handle.get(Buffer.from("k2"))).toHaveLength(80_000);
  expect(await handle.get(Buffer.from("k1"))).toBeUndefined();
  await handle.close();
});

test("an opening that read every log is left alone", async () => {
  const { path, guard } = await folderWithLog();
  const handle = levelDriver.create(path);
  await handle.open();
  await guard.restore(() => {
    throw new Error("nothing is to be written");
  });
  await handle.close();
});

test("a log that cannot be read at all keeps the folder closed", async () => {
  const { path } = await folderWithLog();
  const log = readdirSync(path).find((name) => name.endsWith(".log")) ?? "";
  rmSync(join(path, log));
  mkdirSync(join(path, log));
  await expect(levelDriver.create(path).open()).rejects.toThrow("EISDIR");
});
