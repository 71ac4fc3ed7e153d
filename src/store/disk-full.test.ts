import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFileSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openedStore, temporaryFolder } from "./open-store.testing.ts";
import type { LevelStore } from "./store.ts";
import { entryFor, messageFor, recordFor } from "./workload.testing.ts";

/** A volume of its own, null where this user may not mount one. */
function smallVolume(megabytes: number): string | null {
  const folder = temporaryFolder();
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", folder], {
      stdio: "ignore",
    });
  } catch {
    return null;
  }
  onTestFinished(() => void execFileSync("umount", ["-l", folder]));
  return folder;
}

/** Enqueues until a commit is refused; gives the sequences whose commit was acknowledged. */
async function fill(store: LevelStore, admission: boolean): Promise<number[]> {
  const session = store.session("a");
  session.put(recordFor(1));
  const acknowledged: number[] = [];
  for (let seq = 0; seq < 5000; seq++) {
    if (admission && store.admit(20_000) !== null) return acknowledged;
    const message = { ...messageFor(seq, 0), payload: randomBytes(20_000) };
    session.enqueue({ ...entryFor(seq, seq, 0), message });
    const error = await store.committed(true).then(
      () => null,
      (err: unknown) => err,
    );
    if (error !== null) {
      expect(error).toMatchObject({ code: "STORE_FULL" });
      session.dequeue(seq);
      return acknowledged;
    }
    acknowledged.push(seq);
  }
  throw new Error("the volume was never full");
}

const volume = smallVolumeProbe();

function smallVolumeProbe(): boolean {
  return process.getuid?.() === 0;
}

test.skipIf(!volume)(
  "a volume that is full to the last byte loses nothing, and all is well once there is room",
  async () => {
    const folder = smallVolume(24);
    if (folder === null) return;
    const path = join(folder, "db");
    const ballast = join(folder, "ballast");
    writeFileSync(ballast, Buffer.alloc(8_000_000));
    const store = await openedStore(path, { store: { free_reserve_bytes: 0 } });
    const acknowledged = await fill(store, false);
    expect(acknowledged.length).toBeGreaterThan(100);
    expect(store.state).toBe("failing");
    expect(store.admit(1)).toBe("STORE_FULL");
    // What is there can be read while nothing can be written.
    const entries = await store.session("a").readQueue(0, 10_000, 1e9);
    expect(entries.map(({ seq }) => seq)).toEqual(acknowledged);
    rmSync(ballast);
    await expect.poll(() => store.state, { timeout: 10_000 }).toBe("ready");
    await store.stop();
    const again = await openedStore(path);
    const present = await again.session("a").readQueue(0, 10_000, 1e9);
    expect(present.map(({ seq }) => seq)).toEqual(acknowledged);
    expect(again.status().setAside).toBeNull();
  },
  60_000,
);

test.skipIf(!volume)(
  "at the reserve messages are refused, removals are taken, and room comes back by itself",
  async () => {
    const folder = smallVolume(96);
    if (folder === null) return;
    const path = join(folder, "db");
    const store = await openedStore(path, { store: { free_reserve_bytes: 67_108_864 } });
    const { volumeBytes, reserveBytes } = store.status();
    expect(reserveBytes).toBeGreaterThan(volumeBytes * 0.05);
    const acknowledged: number[] = [];
    const session = store.session("a");
    session.put(recordFor(1));
    // Slowly enough for the volume to be asked in between.
    await expect
      .poll(
        async () => {
          for (let i = 0; i < 40 && store.admit(20_000) === null; i++) {
            const seq = acknowledged.length;
            const message = { ...messageFor(seq, 0), payload: randomBytes(20_000) };
            session.enqueue({ ...entryFor(seq, seq, 0), message });
            await store.committed(true);
            acknowledged.push(seq);
          }
          return store.state;
        },
        { timeout: 30_000, interval: 100 },
      )
      .toBe("full");
    expect(store.admit(1)).toBe("STORE_FULL");
    for (const seq of acknowledged) session.dequeue(seq);
    await store.committed(true);
    await expect.poll(() => store.state, { timeout: 20_000 }).toBe("ready");
  },
  90_000,
);

test.skipIf(!volume)(
  "a store that filled its volume itself starts again, is drained, and takes messages again",
  async () => {
    const folder = smallVolume(64);
    if (folder === null) return;
    const path = join(folder, "db");
    const options = { store: { free_reserve_bytes: 10_000_000 } };
    const first = await openedStore(path, options);
    await expect.poll(() => existsSync(join(path, "BALLAST")), { timeout: 15_000 }).toBe(true);
    const acknowledged = await fill(first, false);
    expect(existsSync(join(path, "BALLAST"))).toBe(true);
    // The last free bytes go to somebody else.
    writeUntilFull(join(folder, "other"));
    await first.stop();
    const store = await openedStore(path, options);
    expect(existsSync(join(path, "BALLAST"))).toBe(false);
    const session = store.session("a");
    const entries = await session.readQueue(0, 10_000, 1e9);
    expect(entries.map(({ seq }) => seq)).toEqual(acknowledged);
    for (const seq of acknowledged) session.dequeue(seq);
    // A compaction may run out of room meanwhile; the removals are tried again.
    await store.committed(true).catch(() => {});
    await expect.poll(() => store.state, { timeout: 30_000 }).toBe("ready");
    await store.committed(true);
    expect(store.status().queuedMessages).toBe(0);
    await expect.poll(() => existsSync(join(path, "BALLAST")), { timeout: 15_000 }).toBe(true);
  },
  90_000,
);

function writeUntilFull(file: string): void {
  try {
    for (;;) appendFileSync(file, Buffer.alloc(4096));
  } catch {
    return;
  }
}
