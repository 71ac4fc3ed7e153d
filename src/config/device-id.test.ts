import { statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { put, testDirectory, textOf } from "./config.testing.ts";
import { deviceId } from "./device-id.ts";

test("a device makes its name once and keeps it", async () => {
  const directory = join(testDirectory(), "data");
  const id = await deviceId(directory);
  expect(id).toMatch(/^[0-9a-f]{8}$/);
  expect(await deviceId(directory)).toBe(id);
  expect(textOf(join(directory, "device-id"))).toBe(`${id}\n`);
  expect(await deviceId(testDirectory())).not.toBe(id);
});

test("a damaged name is replaced", async () => {
  const directory = testDirectory();
  for (const damage of ["", "\0\0\0\0\0\0\0\0", "abcdefg1", "0123456789"]) {
    await put(join(directory, "device-id"), damage);
    const id = await deviceId(directory);
    expect(id).toMatch(/^[0-9a-f]{8}$/);
    expect(await deviceId(directory)).toBe(id);
  }
});

test("the mode of an existing data directory is left alone", async () => {
  const directory = testDirectory();
  const { mode } = statSync(directory);
  await deviceId(directory);
  expect(statSync(directory).mode).toBe(mode);
});
