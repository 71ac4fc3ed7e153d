import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { listeningLog, openedStore, temporaryFolder } from "./open-store.testing.ts";
import type { LevelStore } from "./store.ts";
import {
  entryFor,
  messageFor,
  type Picture,
  pictureOf,
  randomFrom,
  recordFor,
  subscriptionFor,
  TABLE_NAME,
} from "./workload.testing.ts";

/** Writes a store of several tables and a log, and gives what is in it. */
async function writeOriginal(path: string): Promise<Picture> {
  for (let round = 0; round < 3; round++) {
    const store = await openedStore(path);
    for (let client = 0; client < 5; client++) {
      const session = store.session(`client ${round} ${client}`);
      session.put(recordFor(client));
      session.putSubscription(subscriptionFor(`f/${client}/#`, client));
      for (let seq = 0; seq < 60; seq++) session.enqueue(entryFor(seq, seq + round, 150));
      session.enqueue(entryFor(60, round, 6000));
    }
    for (let i = 0; i < 30; i++) store.putRetained(messageFor(i, 300, `r/${round}/${i}`));
    const table = store.table(TABLE_NAME);
    for (let i = 0; i < 30; i++) table.put(`${round} ${i}`, Buffer.alloc(200, `${i}`));
    await store.committed(true);
    await store.stop();
  }
  const store = await openedStore(path);
  const picture = await pictureOf(store);
  store.putRetained(messageFor(1, 300, "r/last"));
  store.putRetained(messageFor(2, 300, "r/later"));
  await store.committed(true);
  await store.stop();
  return picture;
}

/** Everything in a picture as lines, so that a part can be compared with the whole. */
function linesOf(picture: Picture): Set<string> {
  const lines = new Set<string>();
  for (const { clientId, record, subscriptions, queue } of picture.sessions) {
    lines.add(`${clientId} ${JSON.stringify(record)}`);
    for (const subscription of subscriptions)
      lines.add(`${clientId} ${JSON.stringify(subscription)}`);
    for (const entry of queue) lines.add(`${clientId} ${entry}`);
  }
  for (const message of picture.retained) lines.add(message);
  for (const record of picture.records) lines.add(record);
  return lines;
}

const PARTS = ["CURRENT", "MANIFEST", "log", "ldb", "LOCK", "LOG"] as const;

function partOf(name: string): (typeof PARTS)[number] {
  if (name.startsWith("MANIFEST")) return "MANIFEST";
  if (name.startsWith("LOG")) return "LOG";
  if (name === "CURRENT" || name === "LOCK") return name;
  return name.endsWith(".log") ? "log" : "ldb";
}

type Harm = (path: string, random: (below: number) => number) => void;

const HARMS: Readonly<Record<string, Harm>> = {
  removed: (path) => rmSync(path),
  empty: (path) => writeFileSync(path, ""),
  "filled with NUL": (path) => writeFileSync(path, Buffer.alloc(statSync(path).size)),
  truncated: (path, random) => {
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.subarray(0, random(Math.max(1, bytes.length))));
  },
  "truncated elsewhere": (path, random) => {
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.subarray(0, random(Math.max(1, bytes.length))));
  },
  "a flipped bit": flip,
  "another flipped bit": flip,
  "a third flipped bit": flip,
  garbage: (path, random) =>
    writeFileSync(path, Buffer.from(Array.from({ length: 500 }, () => random(256)))),
};

function flip(path: string, random: (below: number) => number): void {
  const bytes = readFileSync(path);
  if (bytes.length === 0) return;
  const at = random(bytes.length);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
  writeFileSync(path, bytes);
}

let original = "";
let whole = new Set<string>();

async function prepared(): Promise<string> {
  const folder = temporaryFolder();
  original = join(folder, "original");
  whole = linesOf(await writeOriginal(original));
  return folder;
}

interface Outcome {
  readonly present: Set<string>;
  readonly store: LevelStore;
  readonly lines: readonly Record<string, unknown>[];
}

async function openDamaged(path: string): Promise<Outcome> {
  const { log, lines } = listeningLog();
  const startedMs = performance.now();
  const store = await openedStore(path, { log });
  const present = linesOf(await pictureOf(store));
  expect(performance.now() - startedMs).toBeLessThan(20_000);
  return { present, store, lines };
}

test("whatever happens to its files the store starts, invents nothing, and says what it lost", async () => {
  const folder = await prepared();
  const random = randomFrom(7);
  let cases = 0;
  for (const name of readdirSync(original)) {
    for (const [harm, damage] of Object.entries(HARMS)) {
      const what = `${name} ${harm}`;
      const path = join(folder, `case-${cases++}`, "db");
      cpSync(original, path, { recursive: true });
      damage(join(path, name), random);
      const { present, store, lines } = await openDamaged(path);
      const invented = [...present].filter((line) => !whole.has(line) && !isLate(line));
      expect(invented, what).toEqual([]);
      const isComplete = [...whole].every((line) => present.has(line));
      const { setAside } = store.status();
      if (!isComplete) {
        // The end of the log may be cut off by a power cut; only that may go without a word.
        expect(setAside !== null || partOf(name) === "log", what).toBe(true);
      }
      if (setAside !== null) {
        expect(existsSync(setAside.path), what).toBe(true);
        expect(lines.filter(({ level }) => level === "error").length, what).toBeGreaterThan(0);
      }
      if (partOf(name) === "LOG" || partOf(name) === "LOCK") {
        expect(setAside, what).toBeNull();
        expect(isComplete, what).toBe(true);
      }
      // It works on.
      store.session("new").put(recordFor(1));
      await store.committed(true);
      await store.stop();
      rmSync(join(folder, `case-${cases - 1}`), { recursive: true });
    }
  }
  expect(cases).toBeGreaterThan(80);
}, 120_000);

/** What the last round wrote into the log. */
function isLate(line: string): boolean {
  return line.includes('"r/last"') || line.includes('"r/later"');
}

test("what is not touched by the damage is served after the repair", async () => {
  const folder = await prepared();
  const tables = readdirSync(original).filter((name) => name.endsWith(".ldb"));
  expect(tables).toHaveLength(3);
  for (const name of tables) {
    const path = join(folder, name, "db");
    cpSync(original, path, { recursive: true });
    rmSync(join(path, name));
    const { present, store } = await openDamaged(path);
    expect(store.status().setAside).toMatchObject({
      reason: `${name} is missing`,
      isRepaired: true,
    });
    // Each table holds one round's clients: those of the others have all of theirs.
    const served = [0, 1, 2].filter((round) =>
      [...whole].every((line) => !line.startsWith(`client ${round}`) || present.has(line)),
    );
    expect(served).toHaveLength(2);
    await store.stop();
  }
});

test("nothing is set aside when another process has the store, and the newest three are kept", async () => {
  const folder = await prepared();
  const path = join(folder, "db");
  cpSync(original, path, { recursive: true });
  const first = await openedStore(path);
  await expect(openedStore(path)).rejects.toMatchObject({ code: "STORE_IN_USE" });
  await first.stop();
  for (let i = 0; i < 5; i++) {
    rmSync(join(path, "CURRENT"));
    const store = await openedStore(path);
    expect(store.status().setAside).toMatchObject({
      reason: "CURRENT is missing",
      isRepaired: true,
    });
    await store.stop();
  }
  expect(readdirSync(folder).filter((name) => name.startsWith("db.damaged-"))).toHaveLength(3);
  expect(readdirSync(folder).filter((name) => name.startsWith("db.repair-"))).toHaveLength(0);
});

test("a layout this version does not know is set aside, not changed", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "db");
  const store = await openedStore(path);
  store.session("a").put(recordFor(1));
  store.core.markFormat(99);
  await store.committed(true);
  await store.stop();
  const again = await openedStore(path);
  const { setAside } = again.status();
  expect(setAside).toMatchObject({ isRepaired: false });
  expect(setAside?.reason).toContain("99");
  onTestFinished(() => again.stop());
});
