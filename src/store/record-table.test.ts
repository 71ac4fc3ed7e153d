import { join } from "node:path";
import { expect, test } from "vitest";
import { ManualClock } from "../time/index.ts";
import { nextTurn } from "./group-writer.ts";
import { FaultyLevel, NO_SPACE } from "./leveldb/faulty-level.testing.ts";
import { openedStore, temporaryFolder } from "./open-store.testing.ts";
import type { RecordTable } from "./record-table.ts";

async function contentOf(table: RecordTable): Promise<Record<string, string>> {
  const all: [string, string][] = [];
  for await (const slice of table.entries()) {
    for (const [key, value] of slice) all.push([key, value.toString()]);
  }
  return Object.fromEntries(all);
}

test("records survive a restart, each table has its own, and the last write of a key counts", async () => {
  const path = join(temporaryFolder(), "db");
  const store = await openedStore(path);
  const users = store.table("users");
  const bans = store.table("users_banned");
  users.put("ä", Buffer.from("1"));
  users.put("", Buffer.from("no key"));
  users.put("a\0b", Buffer.from("2"));
  users.put("gone", Buffer.from("3"));
  bans.put("ä", Buffer.alloc(0));
  await users.committed();
  users.put("ä", Buffer.from("4"));
  users.delete("gone");
  users.delete("never was");
  const expected = { "": "no key", "a\0b": "2", ä: "4" };
  expect(await contentOf(users)).toEqual(expected);
  await store.stop();
  const again = await openedStore(path);
  expect(await contentOf(again.table("users"))).toEqual(expected);
  expect(await contentOf(again.table("users_banned"))).toEqual({ ä: "" });
  expect(await contentOf(again.table("user"))).toEqual({});
});

test("records come in byte order of their keys, in slices, whether they are committed or not", async () => {
  const store = await openedStore(join(temporaryFolder(), "db"));
  const table = store.table("many");
  const keys = Array.from({ length: 5000 }, (_, i) => `${(i * 7919) % 5000}`);
  for (const key of keys.slice(0, 2500)) table.put(key, Buffer.from(`old ${key}`));
  await table.committed();
  for (const key of keys.slice(2000)) table.put(key, Buffer.from(`new ${key}`));
  for (const key of keys.slice(0, 100)) table.delete(key);
  const found: string[] = [];
  let slices = 0;
  for await (const slice of table.entries()) {
    slices++;
    for (const [key, value] of slice) {
      found.push(key);
      expect(value.toString()).toBe(`${keys.indexOf(key) >= 2000 ? "new" : "old"} ${key}`);
    }
  }
  expect(slices).toBeGreaterThan(1);
  expect(found).toEqual(keys.slice(100).sort());
});

test("a value may be changed by its owner once it is put", async () => {
  const store = await openedStore(join(temporaryFolder(), "db"));
  const table = store.table("copied");
  const value = Buffer.from("before");
  table.put("k", value);
  value.fill("x");
  expect(await contentOf(table)).toEqual({ k: "before" });
});

test("records join the group commit, are counted, and a failed one is made up for", async () => {
  const path = join(temporaryFolder(), "db");
  const driver = new FaultyLevel();
  const clock = new ManualClock();
  const store = await openedStore(path, { driver, clock });
  await store.committed(true);
  const before = store.status();
  const table = store.table("t");
  for (let i = 0; i < 10; i++) table.put(`${i}`, Buffer.alloc(100));
  await table.committed();
  const after = store.status();
  expect(after.commits).toBe(before.commits + 1);
  expect(after.writes.record.operations).toBe(10);
  expect(after.writes.record.bytes).toBeGreaterThan(1000);
  expect(after.writes.record.fsyncs).toBe(1);
  driver.onWrite = () => ({ kind: "refused", reason: NO_SPACE });
  table.put("late", Buffer.from("1"));
  await expect(table.committed()).rejects.toMatchObject({ code: "STORE_FULL" });
  driver.onWrite = () => null;
  clock.advance(3000);
  await table.committed();
  await store.stop();
  const again = await openedStore(path);
  expect(Object.keys(await contentOf(again.table("t")))).toHaveLength(11);
});

test("a record nobody waits for is committed by itself", async () => {
  const clock = new ManualClock();
  const store = await openedStore(join(temporaryFolder(), "db"), { clock });
  await store.committed(true);
  store.table("t").put("k", Buffer.from("v"));
  clock.advance(500);
  await nextTurn();
  await expect.poll(() => store.pendingOperations).toBe(0);
});

test("a name that could be mistaken for another table's is refused", async () => {
  const store = await openedStore(join(temporaryFolder(), "db"));
  for (const name of ["", "Users", "a\0", "a b", "x".repeat(33)]) {
    expect(() => store.table(name)).toThrow("cannot be the name of a record table");
  }
});
