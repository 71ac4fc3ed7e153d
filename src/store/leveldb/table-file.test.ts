import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../open-store.testing.ts";
import { randomFrom } from "../workload.testing.ts";
import { levelDriver } from "./level.ts";
import { intactPart, isTableIntact } from "./table-file.ts";

/** A table LevelDB wrote, with many blocks, so that even its index is compressed. */
async function writtenTable(): Promise<Buffer> {
  const path = join(temporaryFolder(), "db");
  const handle = levelDriver.create(path);
  await handle.open();
  const batch = handle.batch();
  for (let i = 0; i < 3000; i++) {
    batch.put(Buffer.from(`a rather long key ${i}`), Buffer.from(`value ${i} `.repeat(30)));
  }
  await batch.write({ sync: false });
  await handle.compact({ gte: Buffer.of(0), lt: Buffer.of(255) });
  await handle.close();
  const name = readdirSync(path).find((file) => file.endsWith(".ldb")) ?? "";
  return readFileSync(join(path, name));
}

test("a table of LevelDB's is intact, and with any flipped bit it is not", async () => {
  const table = await writtenTable();
  expect(table.length).toBeGreaterThan(50_000);
  expect(isTableIntact(table)).toBe(true);
  const random = randomFrom(1);
  let unnoticed = 0;
  for (let i = 0; i < 500; i++) {
    const at = random(table.length);
    const bit = 1 << random(8);
    table[at] = (table[at] ?? 0) ^ bit;
    if (isTableIntact(table)) unnoticed++;
    table[at] = (table[at] ?? 0) ^ bit;
  }
  // The footer is padded with bytes that mean nothing.
  expect(unnoticed).toBeLessThan(3);
  for (let i = 0; i < 50; i++)
    expect(isTableIntact(table.subarray(0, random(table.length)))).toBe(false);
});

test("what is intact of a damaged table makes a table of its own", async () => {
  const table = await writtenTable();
  const whole = intactPart(table) ?? Buffer.alloc(0);
  expect(isTableIntact(whole)).toBe(true);
  const random = randomFrom(2);
  for (let i = 0; i < 100; i++) {
    const bad = Buffer.from(table);
    for (let flips = 0; flips < 3; flips++) {
      const at = random(bad.length);
      bad[at] = (bad[at] ?? 0) ^ (1 << random(8));
    }
    const part = intactPart(bad);
    if (part === null) continue;
    expect(isTableIntact(part)).toBe(true);
    expect(part.length).toBeLessThanOrEqual(whole.length);
  }
});
