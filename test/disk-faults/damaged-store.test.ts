import { mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { tempDir } from "../helpers/temp-dir.ts";
import { fastDisks } from "./disk-shim.ts";
import { copyStore, makeFixture } from "./fixture-copies.ts";
import { eachProbed, START_LIMIT_MS, type StoreReport } from "./probe.ts";
import { type Random, randomFrom } from "./random.ts";
import { figures, SEED, scaled } from "./scale.ts";
import { itemsOf } from "./store-content.ts";

/** One way in which a file of a store is not what it was. */
interface Damage {
  readonly name: string;
  readonly what: string;
  /** The content left; null = the file is gone. */
  readonly content: Buffer | null;
}

/** Files that hold no data: whatever they hold, nothing may be lost. */
const DATA_FREE = /^(LOG|LOG\.old|LOCK)$/;
/** Files that say which others count: everything can be found without them. */
const DIRECTORY_FILES = /^(CURRENT|MANIFEST-\d+)$/;

const TRUNCATIONS = scaled(4, 60);
const BIT_FLIPS = scaled(6, 200);

function damagesOf(folder: string, random: Random): Damage[] {
  return readdirSync(folder).flatMap((name) => {
    const whole = readFileSync(join(folder, name));
    const size = whole.length;
    const damages: Damage[] = [
      { name, what: "removed", content: null },
      { name, what: "empty", content: Buffer.alloc(0) },
      { name, what: "all NUL", content: Buffer.alloc(size) },
      { name, what: "4096 NUL", content: Buffer.alloc(4096) },
      { name, what: "random bytes", content: randomBytes(size, random) },
    ];
    if (size === 0) return damages;
    for (let i = 0; i < Math.min(size, TRUNCATIONS); i++) {
      const left = random.below(size);
      damages.push({ name, what: `truncated to ${left}`, content: whole.subarray(0, left) });
    }
    for (let i = 0; i < BIT_FLIPS; i++) {
      const bit = random.below(size * 8);
      const content = Buffer.from(whole);
      content[bit >> 3] = (content[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      damages.push({ name, what: `bit ${bit & 7} of byte ${bit >> 3} flipped`, content });
    }
    const from = random.below(size);
    const nulled = Buffer.from(whole).fill(0, from, Math.min(size, from + 512));
    damages.push({ name, what: `512 NUL at ${from}`, content: nulled });
    return damages;
  });
}

function randomBytes(size: number, random: Random): Buffer {
  return Buffer.from(Array.from({ length: size }, () => random.below(256)));
}

describe("a damaged store", () => {
  it(
    `starts, names what it set aside, and serves the rest (seed ${SEED})`,
    async () => {
      const scratch = tempDir();
      const fixture = join(scratch, "fixture");
      const expected = await makeFixture(fixture, SEED);
      const whole = itemsOf(expected);
      const damages = damagesOf(fixture, randomFrom(SEED));
      const failures: string[] = [];
      /** By file: what is found without it. */
      const without = new Map<string, ReadonlySet<string>>();
      const lostBy: { damage: Damage; lost: readonly string[] }[] = [];
      const starts: number[] = [];
      let setAside = 0;

      await eachProbed(damages, fastDisks(scratch, 2), async (damage, probe) => {
        const { name, what, content } = damage;
        const folder = mkdtempSync(join(scratch, "case-"));
        const path = join(folder, "store");
        copyStore(fixture, path);
        unlinkSync(join(path, name));
        if (content !== null) writeFileSync(join(path, name), content);
        const fail = (reason: string) => failures.push(`${name} ${what}: ${reason}`);
        try {
          const report = await probe.store(path);
          starts.push(report.startMs);
          if (report.startMs > START_LIMIT_MS) fail(`the start took ${report.startMs} ms`);
          const found = new Set(itemsOf(report));
          const lost = whole.filter((item) => !found.has(item));
          lostBy.push({ damage, lost });
          if (content === null) without.set(name, found);
          if (report.setAside !== null) setAside++;
          for (const reason of faultsOf(damage, report, lost, path)) fail(reason);
        } catch (err) {
          fail(err instanceof Error ? err.message : String(err));
        }
        rmSync(folder, { recursive: true, force: true });
      });

      // What stands in other files is served, whatever happens to this one.
      for (const { damage, lost } of lostBy) {
        const elsewhere = without.get(damage.name);
        const more = lost.filter((item) => elsewhere?.has(item));
        if (more.length === 0) continue;
        failures.push(
          `${damage.name} ${damage.what}: lost ${more.length} that stand in other files, as ${more[0]}`,
        );
      }
      const worst = Math.round(Math.max(...starts));
      figures(
        `damaged store: ${damages.length} cases, ${whole.length} items in ${readdirSync(fixture).length} files, set aside ${setAside}, slowest start ${worst} ms`,
      );
      expect(failures, `seed ${SEED}`).toEqual([]);
    },
    scaled(60_000, 1_200_000),
  );
});

/** What is wrong with how a store came up. */
function faultsOf(
  { name, what }: Damage,
  report: StoreReport,
  lost: readonly string[],
  path: string,
): string[] {
  const faults: string[] = [];
  const foreign = itemsOf(report).filter((item) => /null|undefined/.test(item));
  if (foreign.length > 0) faults.push(`serves ${foreign[0]}`);
  for (const { clientId, queue } of report.sessions) {
    const crossed = queue.find(({ id, topic }) => id !== null && !id.startsWith(`${topic}#`));
    if (crossed !== undefined) faults.push(`${clientId} has ${crossed.id} under ${crossed.topic}`);
  }
  if (lost.length > 0 && (DATA_FREE.test(name) || DIRECTORY_FILES.test(name))) {
    faults.push(`lost ${lost.length} items, as ${lost[0]}`);
  }
  // The end of the newest log may be missing after any power cut: that is no damage.
  const isLogsEnd = name.endsWith(".log") && /^truncated|^empty/.test(what);
  if (lost.length > 0 && !isLogsEnd && report.setAside === null) {
    faults.push(
      `lost ${lost.length} items without a copy (${report.damagedRecords} records reported), as ${lost[0]}`,
    );
  }
  const { setAside } = report;
  if (setAside !== null) {
    if (!report.log.includes(setAside.path)) faults.push("the log does not name the copy");
    if (!report.log.includes('"level":"error"')) faults.push("no alarm in the log");
    if (!setAside.path.startsWith(path)) faults.push(`set aside to ${setAside.path}`);
    const kept = readdirSync(setAside.path);
    if (kept.length < 3) faults.push(`the copy holds ${kept.join(" ")} only`);
  }
  return faults;
}
