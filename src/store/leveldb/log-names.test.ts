import { mkdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../open-store.testing.ts";
import { LogNames } from "./log-names.ts";

/** A folder with one log, whose names are synced; `syncs` counts from then on. */
async function folderWithLog() {
  const path = join(temporaryFolder(), "db");
  mkdirSync(path);
  writeFileSync(join(path, "000003.log"), "");
  const state = { syncs: 0, isFailing: false };
  const names = new LogNames(path, async () => {
    state.syncs++;
    if (state.isFailing) throw new Error("EIO");
  });
  await names.syncAll();
  state.syncs = 0;
  return { path, names, state };
}

test("commits into a log whose name is on the disk sync no folder, whatever tables come and go", async () => {
  const { path, names, state } = await folderWithLog();
  for (let i = 0; i < 20; i++) {
    if (i === 5) writeFileSync(join(path, "000004.ldb"), "");
    if (i === 10) rmSync(join(path, "000004.ldb"));
    await names.syncNew();
  }
  expect(state.syncs).toBe(0);
});

test("the first commit into a new log syncs the folder, and so does the next while that fails", async () => {
  const { path, names, state } = await folderWithLog();
  writeFileSync(join(path, "000007.log"), "");
  state.isFailing = true;
  await expect(names.syncNew()).rejects.toThrow("EIO");
  state.isFailing = false;
  await names.syncNew();
  await names.syncNew();
  expect(state.syncs).toBe(2);
});

test("a new log is seen although the folder's time does not show it", async () => {
  const { path, names, state } = await folderWithLog();
  await names.syncNew();
  writeFileSync(join(path, "000010.log"), "");
  // A coarse clock gives two changes in a row the same time.
  const sameTime = new Date();
  utimesSync(path, sameTime, sameTime);
  await names.syncNew();
  writeFileSync(join(path, "000011.log"), "");
  utimesSync(path, sameTime, sameTime);
  await names.syncNew();
  expect(state.syncs).toBe(2);
});
