import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../open-store.testing.ts";
import { crc32c } from "./crc32c.ts";
import { levelDriver } from "./level.ts";
import { readLog, writeLog } from "./log-file.ts";
import { readManifest } from "./manifest.ts";

test("CRC-32C gives the check value of its definition (RFC 3720 B.4)", () => {
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe306_9283);
  expect(crc32c(Buffer.alloc(32))).toBe(0x8a91_36aa);
});

async function writtenFolder(): Promise<{ path: string; log: Buffer }> {
  const path = join(temporaryFolder(), "db");
  const handle = levelDriver.create(path);
  await handle.open();
  for (let i = 0; i < 50; i++) {
    const batch = handle.batch();
    batch.put(Buffer.from(`key ${i}`), Buffer.alloc(i * 100, i));
    await batch.write({ sync: false });
  }
  await handle.close();
  const name = readdirSync(path).find((file) => file.endsWith(".log")) ?? "";
  return { path, log: readFileSync(join(path, name)) };
}

test("LevelDB's own log is read to its end, over the borders of blocks", async () => {
  const { log } = await writtenFolder();
  expect(log.length).toBeGreaterThan(2 * 32_768);
  expect(readLog(log)).toMatchObject({ isDamaged: false });
  expect(readLog(log).entries).toHaveLength(50);
});

test("a log that is written is LevelDB's own, byte for byte", async () => {
  const { log } = await writtenFolder();
  expect(writeLog(readLog(log).entries).equals(log)).toBe(true);
});

test("a file of NULs or of noise is damage, and a short or empty one the start of a write", () => {
  expect(readLog(Buffer.alloc(8192)).isDamaged).toBe(true);
  expect(readLog(Buffer.alloc(8192, 0x5a)).isDamaged).toBe(true);
  expect(readLog(Buffer.alloc(100)).isDamaged).toBe(false);
  expect(readLog(Buffer.alloc(0)).isDamaged).toBe(false);
});

test("a torn end is not damage, a bad record with a good one behind it is", async () => {
  const { log } = await writtenFolder();
  for (const end of [log.length - 1, log.length - 2000, log.length >> 1, 3, 0]) {
    expect(readLog(log.subarray(0, end)).isDamaged).toBe(false);
  }
  expect(readLog(Buffer.concat([log, Buffer.alloc(70_000)])).isDamaged).toBe(false);
  for (const at of [5, 20, 33_000, log.length - 8000]) {
    const bad = Buffer.from(log);
    bad[at] = (bad[at] ?? 0) ^ 1;
    expect(readLog(bad).isDamaged).toBe(true);
  }
});

test("the manifest names the tables with their sizes and the log", async () => {
  const { path } = await writtenFolder();
  // Opening again turns the log into a table.
  const handle = levelDriver.create(path);
  await handle.open();
  await handle.close();
  const current = readFileSync(join(path, "CURRENT"), "latin1").trimEnd();
  const manifest = readManifest(readFileSync(join(path, current)));
  const files = readdirSync(path);
  expect(manifest?.tables.size).toBe(1);
  for (const [number, bytes] of manifest?.tables ?? []) {
    const name = files.find((file) => Number.parseInt(file, 10) === number) ?? "";
    expect(readFileSync(join(path, name))).toHaveLength(bytes);
  }
  expect(
    files.some((file) => file.endsWith(".log") && Number.parseInt(file, 10) === manifest?.log),
  ).toBe(true);
});
