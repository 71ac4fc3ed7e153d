import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startGateway } from "../helpers/gateway-process.ts";
import { connectDevice } from "../helpers/mqtt.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";
import { DiskShim, fastDisks } from "./disk-shim.ts";
import { copyStore, makeFixture } from "./fixture-copies.ts";
import { idOf } from "./payload.ts";
import { eachProbed, Probe, START_LIMIT_MS } from "./probe.ts";
import { type Random, randomFrom } from "./random.ts";
import { CONFIG_BEFORE, type RecordedLoad, recordLoad } from "./recorded-load.ts";
import { type DiskOperation, readRecording } from "./recording.ts";
import { figures, SEED, scaled } from "./scale.ts";
import { itemsOf } from "./store-content.ts";
import {
  DATA_MODES,
  type DataMode,
  type Image,
  NAME_MODES,
  type NameMode,
  Volume,
  writeImage,
} from "./volume.ts";

/** One power cut: what the machine did before it, and how the disk came out of it. */
interface Cut {
  /** Operations that were begun before. */
  readonly at: number;
  readonly names: NameMode;
  readonly data: DataMode;
  readonly seed: number;
}

const CUTS = scaled(150, 10_000);
const WHOLE_STARTS = scaled(2, 40);
const REPAIR_CUTS = scaled(12, 300);
const ROUNDS = scaled(24, 90);

/** How many operations after the beginning of a log it is cut at most. */
const YOUNG_LOG = 40;

/**
 * Moments to cut at: anywhere, and often just before or after something becomes durable or gets a
 * name, or while a log is young whose name may not be.
 */
function cutsOf(operations: readonly DiskOperation[], count: number, random: Random): Cut[] {
  const turns = operations.flatMap(({ kind }, index) => (kind === "write" ? [] : [index]));
  const logs = operations.flatMap((operation, index) =>
    operation.kind === "open" && operation.isCreating && operation.path.endsWith(".log")
      ? [index]
      : [],
  );
  const moment = () => {
    if (random.chance(0.4)) return random.below(operations.length + 1);
    if (logs.length === 0 || random.chance(0.75)) return random.pick(turns) + random.below(2);
    return Math.min(operations.length, random.pick(logs) + random.below(YOUNG_LOG));
  };
  const cuts = Array.from({ length: count }, () => ({
    at: moment(),
    names: random.pick(NAME_MODES),
    data: random.pick(DATA_MODES),
    seed: random.below(2 ** 31),
  }));
  return cuts.sort((a, b) => a.at - b.at);
}

/** The images the cuts leave, one after the other, of a disk that held `before`. */
function* imagesAfter(
  {
    operations,
    before,
  }: { readonly operations: readonly DiskOperation[]; readonly before?: Image },
  cuts: readonly Cut[],
): Generator<{ cut: Cut; image: Image }> {
  const volume = new Volume(before);
  let done = 0;
  for (const cut of cuts) {
    for (const operation of operations.slice(done, cut.at)) volume.apply(operation);
    done = cut.at;
    yield { cut, image: volume.imageAfterCut(cut.names, cut.data, randomFrom(cut.seed)) };
  }
}

describe("after a power cut at any operation of the disk", () => {
  it(
    `everything acknowledged is there, nothing mixed, and the configuration old or new (seed ${SEED})`,
    async () => {
      const load = await recordLoad(SEED, ROUNDS);
      const { ledger, operations, root } = load;
      // What was recorded is all that happened, or the cuts below would prove nothing.
      expect(allOf(operations)).toEqual(folderContent(root));
      const acknowledged = ledger.sent.filter(({ safeNs }) => safeNs !== null).length;
      expect(acknowledged).toBeGreaterThan(ROUNDS * 5);

      const scratch = tempDir();
      const cuts = cutsOf(operations, CUTS, randomFrom(SEED));
      const failures: string[] = [];
      const starts: number[] = [];
      /** How often a store was set aside, by model of the disk and reason. */
      const setAside = new Map<string, number>();
      await eachProbed(
        imagesAfter(load, cuts),
        fastDisks(scratch, 2),
        async ({ cut, image }, probe) => {
          const disk = mkdtempSync(join(scratch, "cut-"));
          writeImage(image, disk);
          const cutNs = operations[cut.at]?.atNs ?? null;
          const faults: string[] = [];
          try {
            const report = await probe.store(join(disk, "data/store"));
            starts.push(report.startMs);
            if (report.startMs > START_LIMIT_MS) faults.push(`the start took ${report.startMs} ms`);
            faults.push(...ledger.judgeStore(report, cutNs));
            faults.push(...ledger.judgeOutbox(report, cutNs));
            if (report.setAside !== null) {
              const why = `${cut.names}: ${report.setAside.reason}`;
              setAside.set(why, (setAside.get(why) ?? 0) + 1);
              if (faults.length > 0) faults.push(`set aside: ${report.setAside.reason}`);
            }
            const config = await probe.config(join(disk, "data"));
            faults.push(...ledger.judgeConfig(config.values, CONFIG_BEFORE, cutNs));
            if (config.incident !== null) faults.push(`configuration: ${config.incident.reason}`);
          } catch (err) {
            faults.push(err instanceof Error ? err.message : String(err));
          }
          if (faults.length > 0) {
            const some = [faults[0], faults.length > 1 ? faults.at(-1) : ""].join("; ");
            failures.push(`${describeCut(cut)}: ${faults.length} faults: ${some}`);
          }
          rmSync(disk, { recursive: true, force: true });
        },
      );
      figures(
        `power cut: ${cuts.length} cuts in ${operations.length} operations, ${acknowledged} messages acknowledged, slowest start ${Math.round(Math.max(...starts))} ms, store set aside ${JSON.stringify(Object.fromEntries(setAside))}`,
      );
      expect(failures, `seed ${SEED}`).toEqual([]);

      for (const { cut, image } of imagesAfter(
        load,
        cutsOf(operations, WHOLE_STARTS, randomFrom(SEED + 1)),
      )) {
        await startAndDrain(load, cut, image);
      }
    },
    scaled(60_000, 3_600_000),
  );
});

describe("after a power cut while a damaged store is repaired", () => {
  it(
    `nothing is lost that the repair would have kept (seed ${SEED})`,
    async () => {
      const scratch = tempDir();
      const fixture = join(scratch, "fixture");
      await makeFixture(fixture, SEED);
      const failures: string[] = [];
      for (const what of ["MANIFEST", "CURRENT", "a table"] as const) {
        const given = join(scratch, what);
        copyStore(fixture, given);
        damage(given, what);
        const repair = await recordStart(given);
        const cuts = cutsOf(repair.operations, REPAIR_CUTS, randomFrom(SEED));
        const images = imagesAfter(repair, cuts);
        await eachProbed(images, fastDisks(scratch, 2), async ({ cut, image }, probe) => {
          const disk = mkdtempSync(join(scratch, "cut-"));
          writeImage(image, disk);
          const fail = (reason: string) =>
            failures.push(`${what} damaged, ${describeCut(cut)}: ${reason}`);
          try {
            const found = new Set(itemsOf(await probe.store(join(disk, "data/store"))));
            const lost = itemsOf(repair.report).filter((item) => !found.has(item));
            if (lost.length > 0) fail(`lost ${lost.length}, as ${lost[0]}`);
          } catch (err) {
            fail(err instanceof Error ? err.message : String(err));
          }
          rmSync(disk, { recursive: true, force: true });
        });
        const { length } = repair.operations;
        figures(
          `power cut in the repair, ${what} damaged: ${cuts.length} cuts in ${length} operations`,
        );
      }
      expect(failures, `seed ${SEED}`).toEqual([]);
    },
    scaled(60_000, 1_800_000),
  );
});

/** A start on a copy of a store: what it found, and what it did to a disk that held the copy before. */
async function recordStart(given: string) {
  const scratch = tempDir();
  const root = join(scratch, "disk");
  mkdirSync(join(root, "data"), { recursive: true });
  const store = join(root, "data/store");
  copyStore(given, store);
  const before = imageOf(given, "data/store");
  const recording = join(scratch, "recording");
  const probe = new Probe(new DiskShim(root, recording).env);
  try {
    const report = await probe.store(store);
    return { report, before, operations: readRecording(recording, root) };
  } finally {
    await probe.close();
  }
}

function damage(store: string, what: "MANIFEST" | "CURRENT" | "a table"): void {
  const starts = { MANIFEST: "MANIFEST-", CURRENT: "CURRENT", "a table": "0" }[what];
  const name = readdirSync(store).find((each) => each.startsWith(starts));
  const file = join(store, name ?? "");
  const half = readFileSync(file).subarray(0, statSync(file).size / 2);
  // Not in place: the file may be a link.
  rmSync(file);
  if (what !== "CURRENT") writeFileSync(file, half);
}

/** The content of a folder, under the name it has on a volume. */
function imageOf(folder: string, as: string): Image {
  const above = as.split("/").map((_, depth, names) => names.slice(0, depth + 1).join("/"));
  return new Map<string, Buffer | null>([
    ...above.map((path) => [path, null] as const),
    ...readdirSync(folder).map(
      (name) => [`${as}/${name}`, readFileSync(join(folder, name))] as const,
    ),
  ]);
}

/** Starts the whole gateway on what a cut left, and has its sessions fetch what they are owed. */
async function startAndDrain({ ledger, operations }: RecordedLoad, cut: Cut, image: Image) {
  const disk = join(tempDir(), "disk");
  writeImage(image, disk);
  const gateway = await startGateway({ dataDir: join(disk, "data") });
  const cutNs = operations[cut.at]?.atNs ?? null;
  for (const session of new Set(ledger.sessions.map(({ clientId }) => clientId))) {
    const last = ledger.sessions.findLast(
      ({ clientId, begunNs }) => clientId === session && (cutNs === null || begunNs < cutNs),
    );
    if (last === undefined) continue;
    const owed = ledger.owedTo(last, cutNs).map(({ id }) => id);
    const device = await connectDevice(gateway.ports.tcp, {
      clientId: session,
      clean: false,
      protocolVersion: 5,
      properties: { sessionExpiryInterval: 3600 },
    });
    await until(`${describeCut(cut)}: everything owed to ${session}`, () => {
      const came = new Set(device.received.map(({ payload }) => idOf(Buffer.from(payload))));
      return owed.every((id) => came.has(id));
    });
    await device.client.endAsync();
  }
  expect(await gateway.child.kill(), describeCut(cut)).toEqual({ code: 0, signal: null });
}

function describeCut({ at, names, data, seed }: Cut): string {
  return `cut at operation ${at}, names ${names}, data ${data}, seed ${seed}`;
}

function allOf(operations: readonly DiskOperation[]): Map<string, string | null> {
  const volume = new Volume();
  for (const operation of operations) volume.apply(operation);
  return new Map(
    [...volume.image()]
      .map(([path, content]) => [path, content?.toString("base64") ?? null] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

function folderContent(root: string): Map<string, string | null> {
  const names = readdirSync(root, { recursive: true, encoding: "utf8" }).sort();
  return new Map(
    names.map((name) => {
      const path = join(root, name);
      return [name, statSync(path).isDirectory() ? null : readFileSync(path).toString("base64")];
    }),
  );
}
