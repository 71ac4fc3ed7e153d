import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, expect, it, onTestFinished } from "vitest";
import { createLog } from "../../src/log/index.ts";
import { ManualClock } from "../../src/time/index.ts";
import { createUpdates } from "../../src/update/index.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const MIB = 1024 * 1024;

/** A volume of its own takes root to mount. */
const isRoot = process.getuid?.() === 0;

/** Updates of an appliance whose data partition has so many bytes. */
function onVolume(bytes: number) {
  const directory = tempDir();
  const dataDir = join(directory, "data");
  mkdirSync(dataDir);
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", dataDir]);
  onTestFinished(() => void execFileSync("umount", [dataDir]));
  const spool = join(dataDir, "update");
  mkdirSync(spool);
  const log = createLog({ level: "fatal" });
  const updates = createUpdates(
    { log, clock: new ManualClock() },
    { stateDir: directory, dataDir },
  );
  return { updates, spooled: () => readdirSync(spool) };
}

function* pieces(count: number) {
  for (let piece = 0; piece < count; piece += 1) yield Buffer.alloc(MIB, piece);
}

const wish = { allowDowngrade: false, reboot: true };

describe.runIf(isRoot)("an upload to a volume that is too small (as root)", () => {
  it("is refused before it begins where its length is known", async () => {
    const { updates, spooled } = onVolume(32 * MIB);
    let isRead = false;
    const stream = new Readable({
      read() {
        isRead = true;
        this.push(null);
      },
    });
    const refused = updates.receive({ stream, sizeBytes: 31 * MIB }, wish);
    await expect(refused).rejects.toMatchObject({ code: "UPDATE_NO_SPACE" });
    expect(isRead).toBe(false);
    expect(spooled()).toEqual([]);
  });

  it("ends where the reserve begins, or the last byte is used, and leaves nothing", async () => {
    // The free space is looked at every 8 MB: in the small volume the disk is full before that.
    for (const bytes of [20 * MIB, 6 * MIB]) {
      const { updates, spooled } = onVolume(bytes);
      const stream = Readable.from(pieces(100));
      const refused = updates.receive({ stream, sizeBytes: null }, wish);
      await expect(refused).rejects.toMatchObject({ code: "UPDATE_NO_SPACE" });
      expect(spooled()).toEqual([]);
      const next = updates.receive({ stream: Readable.from(pieces(2)), sizeBytes: 2 * MIB }, wish);
      expect(await next).toBe(2 * MIB);
    }
  });
});
