import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startGateway } from "../helpers/gateway-process.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { type FaultPlan, OPERATIONS, type Operation } from "./disk-control.ts";
import { DiskShim, fastDisks } from "./disk-shim.ts";
import { copyStore, makeFixture } from "./fixture-copies.ts";
import { Ledger } from "./ledger.ts";
import { eachProbed, Probe, type StoreLoad } from "./probe.ts";
import { type Random, randomFrom } from "./random.ts";
import { figures, SEED, scaled } from "./scale.ts";
import { backToNormal, judgeAfterKill, restarted, workThroughTrouble } from "./trouble.ts";
import { Workers } from "./workload.ts";

const CASES = scaled(56, 1500);
const GATEWAY_LIVES = scaled(1, 30);
const PLANS_PER_LIFE = 10;
const ROUNDS_IN_TROUBLE = 8;

/** How long a disk that fails for some time does. */
const FAILING_MS = 300;

/** Plans over all operations of the load, from the opening of the store on: `counts` says how many there are. */
function plansFor(counts: Readonly<Record<Operation, number>>, random: Random): FaultPlan[] {
  const kinds = OPERATIONS.filter((operation) => counts[operation] > 0);
  return Array.from({ length: CASES }, (_, index) => {
    const operation = kinds[index % kinds.length] ?? "write";
    return {
      operations: random.chance(0.2) ? OPERATIONS : [operation],
      // The figures include reading everything again in the end.
      first: 1 + random.below(Math.min(500, Math.ceil(counts[operation] * 0.6))),
      failures: random.pick([1, 1, 2, Number.POSITIVE_INFINITY]),
      error: random.pick(["EIO", "EROFS", "ENOSPC"] as const),
      isTorn: random.chance(0.5),
    };
  });
}

describe("a disk whose n-th operation fails", () => {
  it(
    `costs the store nothing it acknowledged, and it recovers (seed ${SEED})`,
    async () => {
      const scratch = tempDir();
      const fixture = join(scratch, "fixture");
      const base = await makeFixture(fixture, SEED);
      const loadOf = (seed: number, plan: FaultPlan | null, disk: DiskShim): StoreLoad => {
        return { seed, base, controlFile: disk.controlFile, plan, healAfterMs: FAILING_MS };
      };
      const disks = fastDisks(scratch, 4);
      const random = randomFrom(SEED);
      const plans = plansFor(await countOperations(scratch, fixture, disks, loadOf), random);
      const failures: string[] = [];
      const recoveries: number[] = [];
      let failed = 0;
      let refused = 0;
      let acknowledged = 0;
      let notStarted = 0;
      const cases = plans.map((plan) => ({ plan, seed: random.below(2 ** 31) }));
      await eachProbed(cases, disks, async ({ plan, seed }, probe, disk) => {
        const folder = mkdtempSync(join(scratch, "case-"));
        const path = join(folder, "store");
        copyStore(fixture, path);
        const fail = (reason: string) => failures.push(`${describePlan(plan, seed)}: ${reason}`);
        try {
          const report = await probe.load(path, loadOf(seed, plan, disk));
          for (const violation of report.violations.slice(0, 3)) fail(violation);
          recoveries.push(report.recoveryMs);
          failed += report.failed > 0 ? 1 : 0;
          refused += report.refused;
          acknowledged += report.acknowledged;
          notStarted += report.startError === null ? 0 : 1;
        } catch (err) {
          fail(err instanceof Error ? err.message : String(err));
        }
        disk.control.heal();
        rmSync(folder, { recursive: true, force: true });
      });
      figures(
        `failing disk: ${cases.length} plans, ${failed} met an operation, ${notStarted} refused the start, ${acknowledged} acknowledged, ${refused} refused, slowest recovery ${Math.round(Math.max(...recoveries))} ms`,
      );
      expect(failures, `seed ${SEED}`).toEqual([]);
    },
    scaled(60_000, 3_600_000),
  );

  it(
    `costs a running gateway nothing it acknowledged, and it recovers (seed ${SEED})`,
    async () => {
      const random = randomFrom(SEED + 1);
      const seen = { recoveryMs: 0, ends: 0 };
      const failures: string[] = [];
      for (let life = 0; life < GATEWAY_LIVES; life++) {
        const seed = random.below(2 ** 31);
        const faults = await liveThrough(seed, seen);
        failures.push(...faults.slice(0, 5).map((fault) => `life ${life} (${seed}): ${fault}`));
      }
      figures(
        `failing disk under a gateway: ${GATEWAY_LIVES * PLANS_PER_LIFE} plans, ended in order ${seen.ends} times, slowest recovery ${Math.round(seen.recoveryMs)} ms`,
      );
      expect(failures, `seed ${SEED}`).toEqual([]);
    },
    scaled(60_000, 3_600_000),
  );
});

/** Has the disk fail by one plan after another while a gateway is at work, kills it, and judges. */
async function liveThrough(seed: number, seen: { recoveryMs: number; ends: number }) {
  const root = tempDir();
  const disk = new DiskShim(root);
  const ledger = new Ledger();
  const random = randomFrom(seed);
  let gateway = await startGateway({ dataDir: join(root, "data"), env: disk.env });
  for (let n = 0; n < PLANS_PER_LIFE; n++) {
    const workers = new Workers(ledger, gateway.ports.tcp, random);
    const plan: FaultPlan = {
      operations: random.chance(0.4) ? OPERATIONS : ["write", "sync"],
      first: 1 + random.below(60),
      failures: random.pick([1, 3, Number.POSITIVE_INFINITY]),
      error: random.pick(["EIO", "EROFS", "ENOSPC"] as const),
      isTorn: random.chance(0.5),
    };
    try {
      await workers.begin();
      await workers.round();
      const heal = disk.control.failFor(plan, FAILING_MS);
      await workThroughTrouble(workers, ROUNDS_IN_TROUBLE);
      workers.drop();
      heal();
      const before = gateway;
      gateway = await restarted(gateway, disk.env);
      if (gateway !== before) seen.ends++;
      const recoveryMs = await backToNormal(ledger, gateway.ports.tcp);
      seen.recoveryMs = Math.max(seen.recoveryMs, recoveryMs);
    } catch (err) {
      const what = err instanceof Error ? err.message : String(err);
      return [`${describePlan(plan, seed)}: ${what}`];
    }
  }
  return judgeAfterKill(gateway, ledger);
}

/** Operations of each kind in a load that nothing happens to. */
async function countOperations(
  scratch: string,
  fixture: string,
  [disk]: readonly DiskShim[],
  loadOf: (seed: number, plan: FaultPlan | null, disk: DiskShim) => StoreLoad,
): Promise<Record<Operation, number>> {
  if (disk === undefined) throw new Error("no disk");
  const folder = join(scratch, "count");
  mkdirSync(folder);
  copyStore(fixture, join(folder, "store"));
  const probe = new Probe(disk.env);
  try {
    const report = await probe.load(join(folder, "store"), loadOf(SEED, null, disk));
    expect(report.violations).toEqual([]);
    expect(report.refused).toBe(0);
  } finally {
    await probe.close();
  }
  const count = (operation: Operation) => disk.control.count(operation);
  return {
    write: count("write"),
    sync: count("sync"),
    rename: count("rename"),
    open: count("open"),
    unlink: count("unlink"),
    make: count("make"),
  };
}

function describePlan({ operations, first, failures, error, isTorn }: FaultPlan, seed: number) {
  const what = operations.length > 1 ? "any operation" : operations[0];
  const count = Number.isFinite(failures) ? `${failures} times` : `${FAILING_MS} ms long`;
  return `${error} at ${what} number ${first}, ${count}${isTorn ? ", torn" : ""}, seed ${seed}`;
}
