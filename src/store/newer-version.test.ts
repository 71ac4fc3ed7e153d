import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { ClassicLevel } from "classic-level";
import { expect, test } from "vitest";
import { listeningLog, openedStore, temporaryFolder } from "./open-store.testing.ts";
import { messageFor, pictureOf, recordFor, subscriptionFor } from "./workload.testing.ts";

/** What a device that went back to an older version finds in its store. */

const VERSION = 1;

/** A whole value as every version writes it: its version, the record, the checksum of key and value. */
function whole(key: Buffer, record: Buffer, version = VERSION): Buffer {
  const value = Buffer.concat([Buffer.of(version), record]);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32(value, crc32(key)));
  return Buffer.concat([value, checksum]);
}

/** Lets `act` read and write rows past the store. */
async function raw<T>(
  path: string,
  act: (level: ClassicLevel<Buffer, Buffer>) => Promise<T>,
): Promise<T> {
  const level = new ClassicLevel<Buffer, Buffer>(path, {
    keyEncoding: "buffer",
    valueEncoding: "buffer",
  });
  await level.open();
  try {
    return await act(level);
  } finally {
    await level.close();
  }
}

async function written(path: string) {
  const store = await openedStore(path);
  const session = store.session("client");
  session.put(recordFor(1));
  session.putSubscription(subscriptionFor("f/#", 1));
  store.putRetained(messageFor(1, 100, "r/1"));
  await store.committed(true);
  await store.stop();
  const again = await openedStore(path);
  const picture = await pictureOf(again);
  await again.stop();
  return picture;
}

const asideOf = (path: string) =>
  readdirSync(dirname(path)).filter((name) => name.startsWith(`${basename(path)}.damaged-`));

test("rows of kinds that only a newer version knows stay as they are, and everything else is read", async () => {
  const path = join(temporaryFolder(), "store");
  const before = await written(path);
  const table = Buffer.from("\x1a something new", "latin1");
  const meta = Buffer.from("\x01later", "latin1");
  const rows = [table, meta].map((key) => [key, whole(key, Buffer.from("kept"))] as const);
  await raw(path, async (level) => {
    for (const [key, value] of rows) await level.put(key, value);
  });

  const { log, lines } = listeningLog();
  const store = await openedStore(path, { log });
  expect(await pictureOf(store)).toEqual(before);
  expect(store.status()).toMatchObject({ state: "ready", setAside: null, damagedRecords: 0 });
  expect(lines.filter(({ msg }) => String(msg).includes("a newer version"))).toMatchObject([
    { count: 2 },
  ]);
  store.putRetained(messageFor(2, 100, "r/2"));
  await store.committed(true);
  await store.stop();
  await raw(path, async (level) => {
    for (const [key, value] of rows) expect(await level.get(key)).toEqual(value);
  });
  expect(asideOf(path)).toEqual([]);
});

test("records written in a newer form are left out, and the store with them is kept aside", async () => {
  const path = join(temporaryFolder(), "store");
  const before = await written(path);
  const key = Buffer.from("\x16table\0key", "latin1");
  const value = whole(key, Buffer.from("new"), VERSION + 1);
  await raw(path, (level) => level.put(key, value));

  const store = await openedStore(path);
  expect(await pictureOf(store)).toEqual(before);
  const { setAside } = store.status();
  expect(setAside?.reason).toBe("1 records cannot be read");
  await store.stop();
  const kept = await raw(setAside?.path ?? "", (level) => level.get(key));
  expect(kept).toEqual(value);
});

test("a store of a newer layout is set aside as it is, named with the reason, and a fresh one begun", async () => {
  const path = join(temporaryFolder(), "store");
  await written(path);
  const format = Buffer.from("\x01format", "latin1");
  await raw(path, (level) => level.put(format, whole(format, Buffer.of(2))));
  const rows = (where: string) => raw(where, (level) => level.keys().all());
  const before = await rows(path);

  const { log, lines } = listeningLog();
  const store = await openedStore(path, { log });
  const { setAside, state } = store.status();
  expect(state).toBe("ready");
  expect(setAside).toMatchObject({
    isRepaired: false,
    reason: "another version has written it: its layout is number 2, expected 1",
  });
  expect((await pictureOf(store)).retained).toEqual([]);
  await store.stop();
  expect(await rows(setAside?.path ?? "")).toEqual(before);
  expect(lines.filter(({ level }) => level === "error" || level === 50)).toHaveLength(1);

  // The next start goes on with the fresh one, and what was set aside stays.
  const next = await openedStore(path);
  expect(next.status().setAside).toBeNull();
  expect(existsSync(setAside?.path ?? "")).toBe(true);
});
