import { expect, test } from "vitest";
import { GatewayError } from "../errors/index.ts";
import { createLog } from "../log/index.ts";
import { HashSlots } from "./hash-slots.ts";
import { MemoryTable } from "./memory-table.testing.ts";
import { type BuiltInDatabaseConfig, type ImportedUser, StoredUsers } from "./user-database.ts";

const SHA256 = {
  name: "sha256",
  salt_position: "suffix",
  salt_rounds: null,
  mac_fun: null,
  iterations: null,
  dk_length: null,
} as const;

const BCRYPT = { ...SHA256, name: "bcrypt", salt_position: null, salt_rounds: 4 } as const;

async function open(
  table = new MemoryTable(),
  algorithm: BuiltInDatabaseConfig["password_hash_algorithm"] = SHA256,
) {
  const lines: Record<string, unknown>[] = [];
  const log = createLog({ level: "info" }, { write: (line) => void lines.push(JSON.parse(line)) });
  const changes = { superuser: 0 };
  const users = new StoredUsers({
    log,
    slots: new HashSlots(),
    table: () => table,
    onSuperuserChange: () => void changes.superuser++,
  });
  users.configure({ enable: true, user_id_type: "username", password_hash_algorithm: algorithm });
  await users.load();
  const fits = async (userId: string, password: string) =>
    (await users.find(userId)?.fits(Buffer.from(password))) ?? null;
  return { users, table, fits, lines, changes };
}

const row = (userId: string, password = "p"): ImportedUser => ({
  userId,
  isSuperuser: false,
  secret: { password },
});

test("users are created, changed, deleted, and are there again after a restart", async () => {
  const { users, table, fits } = await open();
  await users.create({ userId: "a", password: "one", isSuperuser: true });
  await users.create({ userId: "b", password: "two", isSuperuser: false });
  await users.update("b", { password: "three", isSuperuser: false });
  await users.update("a", { password: null, isSuperuser: false });
  await users.create({ userId: "gone", password: "x", isSuperuser: false });
  await users.delete("gone");
  expect([await fits("a", "one"), await fits("b", "two"), await fits("b", "three")]).toEqual([
    true,
    false,
    true,
  ]);
  const again = await open(table);
  expect([...again.users.list()]).toEqual([
    { userId: "a", isSuperuser: false },
    { userId: "b", isSuperuser: false },
  ]);
  expect(await again.fits("b", "three")).toBe(true);
  expect(again.users.get("gone")).toBeNull();
});

test("no password is kept in clear unless that was asked for", async () => {
  const { users, table } = await open();
  await users.create({ userId: "a", password: "very-secret", isSuperuser: false });
  await users.import([row("b", "very-secret")]);
  const kept = [...table.rows.values()].join("\n");
  expect(kept).not.toContain("very-secret");
  expect(kept).toContain("sha256:suffix");
});

test("without a chosen algorithm single passwords are hashed with scrypt, imported ones salted", async () => {
  const { users, table, fits } = await open(new MemoryTable(), null);
  await users.create({ userId: "a", password: "p1", isSuperuser: false });
  await users.import([row("b", "p2")]);
  expect(table.rows.get("a")?.toString()).toContain("scrypt$");
  expect(table.rows.get("b")?.toString()).toContain("sha256:suffix");
  expect([await fits("a", "p1"), await fits("b", "p2")]).toEqual([true, true]);
});

test("users keep the algorithm they were hashed with when another is chosen", async () => {
  const { users, fits } = await open();
  await users.create({ userId: "a", password: "p", isSuperuser: false });
  users.configure({ enable: true, user_id_type: "username", password_hash_algorithm: BCRYPT });
  await users.create({ userId: "b", password: "p", isSuperuser: false });
  expect([await fits("a", "p"), await fits("b", "p")]).toEqual([true, true]);
  expect(users.find("b")?.isSlow).toBe(true);
});

test.each(["__proto__", "constructor", "a:b", "x/#", "🔑"])(
  "%s is a name like any other",
  async (userId) => {
    const { users, fits } = await open();
    expect(users.get(userId)).toBeNull();
    await users.create({ userId, password: "p", isSuperuser: false });
    expect(await fits(userId, "p")).toBe(true);
    await users.delete(userId);
    expect(users.size).toBe(0);
  },
);

test("what is there or not there is told, and what is out of bounds", async () => {
  const { users } = await open(new MemoryTable(), BCRYPT);
  await users.create({ userId: "a", password: "p", isSuperuser: false });
  const create = (userId: string, password: string) =>
    users.create({ userId, password, isSuperuser: false });
  await expect(create("a", "p")).rejects.toMatchObject({ code: "MQTT_USER_EXISTS" });
  await expect(users.delete("b")).rejects.toMatchObject({ code: "MQTT_USER_NOT_FOUND" });
  await expect(users.update("b", { password: "p", isSuperuser: false })).rejects.toMatchObject({
    code: "MQTT_USER_NOT_FOUND",
  });
  for (const [userId, password] of [
    ["", "p"],
    ["b\0", "p"],
    ["b".repeat(1025), "p"],
    ["b", ""],
    ["b", "p".repeat(73)],
  ] as const) {
    await expect(create(userId, password)).rejects.toMatchObject({ code: "PARAMETER_INVALID" });
  }
});

test("of two that create one user at the same time one is refused", async () => {
  const { users } = await open(new MemoryTable(), BCRYPT);
  const results = await Promise.allSettled(
    ["p", "q"].map((password) => users.create({ userId: "a", password, isSuperuser: false })),
  );
  expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
});

test("an import takes everything or nothing, and counts what was new", async () => {
  const { users, fits } = await open();
  await users.import([row("a", "one"), row("b")]);
  await expect(users.import([row("c"), row("")])).rejects.toMatchObject({
    code: "PARAMETER_INVALID",
    details: expect.objectContaining({ field: "row 2: user_id" }),
  });
  const badHash: ImportedUser = {
    userId: "d",
    isSuperuser: false,
    secret: { hash: "no hash", salt: "" },
  };
  await expect(users.import([row("c"), badHash])).rejects.toMatchObject({
    code: "PARAMETER_INVALID",
  });
  expect(users.size).toBe(2);
  expect(await users.import([row("a", "two"), row("c")])).toEqual({
    total: 2,
    success: 1,
    override: 1,
  });
  expect(await fits("a", "two")).toBe(true);
});

test("passwords in clear are not imported by thousands where hashing is slow", async () => {
  const { users } = await open(new MemoryTable(), BCRYPT);
  const many = Array.from({ length: 1001 }, (_, i) => row(`u${i}`));
  await expect(users.import(many)).rejects.toMatchObject({ code: "PARAMETER_INVALID" });
  expect(users.size).toBe(0);
});

test("a change that does not last is taken back, also in the table", async () => {
  const { users, table, fits } = await open();
  await users.create({ userId: "a", password: "one", isSuperuser: false });
  const before = table.rows.get("a")?.toString();
  table.failure = new GatewayError("STORE_WRITE_FAILED", { reason: "no space" });
  const refused = { code: "STORE_WRITE_FAILED" };
  await expect(users.delete("a")).rejects.toMatchObject(refused);
  await expect(users.update("a", { password: "x", isSuperuser: true })).rejects.toMatchObject(
    refused,
  );
  await expect(
    users.create({ userId: "b", password: "x", isSuperuser: false }),
  ).rejects.toMatchObject(refused);
  await expect(users.import([row("a", "x"), row("c")])).rejects.toMatchObject(refused);
  await expect(users.clear()).rejects.toMatchObject(refused);
  expect([...users.list()]).toEqual([{ userId: "a", isSuperuser: false }]);
  expect(await fits("a", "one")).toBe(true);
  expect([...table.rows.keys()]).toEqual(["a"]);
  expect(table.rows.get("a")?.toString()).toBe(before);
});

test("a damaged record is left out and counted, the others are read", async () => {
  const table = new MemoryTable();
  const first = await open(table);
  await first.users.create({ userId: "good", password: "p", isSuperuser: false });
  for (const [name, text] of [
    ["bad1", "{"],
    ["bad2", '["rot13:x","",""]'],
    ["bad3", "[1,2,3]"],
  ] as const) {
    table.put(name, Buffer.from(text));
  }
  const { users, lines } = await open(table);
  expect([...users.list()]).toEqual([{ userId: "good", isSuperuser: false }]);
  expect(lines).toContainEqual(expect.objectContaining({ level: "error", count: 3 }));
});

test("losing a superuser's rights is told, so that nothing remembered counts", async () => {
  const { users, changes } = await open();
  await users.create({ userId: "a", password: "p", isSuperuser: true });
  expect(changes.superuser).toBe(0);
  await users.update("a", { password: null, isSuperuser: false });
  expect(changes.superuser).toBe(1);
});

test("100,000 users are imported without holding the event loop, and found at once", async () => {
  const { users } = await open();
  const rows = Array.from({ length: 100_000 }, (_, i): ImportedUser => {
    const hash = i.toString(16).padStart(64, "0");
    return { userId: `device-${i}`, isSuperuser: false, secret: { hash, salt: `${i}` } };
  });
  let turns = 0;
  const takeTurn = () => {
    turns++;
    other = setImmediate(takeTurn);
  };
  let other = setImmediate(takeTurn);
  expect(await users.import(rows)).toMatchObject({ total: 100_000, success: 100_000 });
  clearImmediate(other);
  // Checked, made ready and recorded, each in slices of 500.
  expect(turns).toBeGreaterThan(500);
  const startMs = performance.now();
  for (let i = 0; i < 100_000; i++) users.find(`device-${i}`);
  expect((performance.now() - startMs) / 100_000).toBeLessThan(0.01);
});
