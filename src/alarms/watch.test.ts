import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeCertificates } from "../../test/helpers/certificates.ts";
import { tempDir } from "../../test/helpers/temp-dir.ts";
import { SCHEMA } from "../config/index.ts";
import { createLog } from "../log/index.ts";
import { ManualClock } from "../time/index.ts";
import {
  type Alarms,
  type AlarmWatch,
  type AlarmWatchDeps,
  type CertificateFile,
  createAlarms,
  createAlarmWatch,
  type Readings,
  renderAlarmTable,
  type Watermarks,
} from "./index.ts";

const DAY_MS = 86_400_000;

let clock: ManualClock;
let alarms: Alarms;
let watch: AlarmWatch | null;
let device: Record<string, unknown>;
let others: Omit<Readings, "device">;
let watermarks: Watermarks;
let storeAside: ReturnType<AlarmWatchDeps["storeSetAside"]>;
let files: readonly CertificateFile[];
let bridges: ReturnType<AlarmWatchDeps["bridges"]>;
const log = createLog({ level: "fatal" }, { write: () => undefined });

beforeEach(async () => {
  clock = new ManualClock();
  watch = null;
  device = {};
  others = {
    store: { state: "ready", trouble: null },
    configuration: { rolledBack: null, setAside: null },
    update: null,
  };
  watermarks = defaults();
  storeAside = null;
  files = [];
  bridges = [];
  alarms = createAlarms(
    { log, clock, bus: { publish: async () => undefined } },
    { node: "n", settings: () => ({ actions: [], size_limit: 1000, validity_period_s: 86_400 }) },
  );
  await alarms.start();
});

afterEach(async () => {
  await watch?.stop();
  await alarms.stop();
});

function defaults(): Watermarks {
  const rows = Object.entries(SCHEMA.sysmon).map(([name, row]) => [name, row.default]);
  return Object.fromEntries(rows) as unknown as Watermarks;
}

async function start(): Promise<void> {
  watch = createAlarmWatch(
    {
      log,
      clock,
      alarms,
      readings: () => ({ device, ...others }),
      storeSetAside: () => storeAside,
      certificateFiles: () => files,
      bridges: () => bridges,
    },
    { watermarks: () => watermarks },
  );
  await watch.start();
}

const names = () => alarms.active().map(({ name }) => name);

/** Sets readings and lets time pass. */
function then(readings: Record<string, unknown>, seconds: number): string[] {
  device = { ...device, ...readings };
  clock.advance(seconds * 1000);
  return names();
}

describe("hysteresis", () => {
  it("load is an alarm when it stays high for a minute, until it stays low for a minute", async () => {
    await start();
    expect(then({ cpu_percent: 95 }, 50)).toEqual([]);
    expect(then({ cpu_percent: 10 }, 10)).toEqual([]);
    expect(then({ cpu_percent: 95 }, 60)).toEqual([]);
    expect(then({}, 10)).toEqual(["high_cpu_usage"]);
    expect(alarms.active()).toMatchObject([{ details: { cpu_percent: 95 } }]);
    // Between the watermarks it stays.
    expect(then({ cpu_percent: 70 }, 600)).toEqual(["high_cpu_usage"]);
    expect(then({ cpu_percent: 50 }, 60)).toEqual(["high_cpu_usage"]);
    expect(then({}, 10)).toEqual([]);
  });

  it("a value that swings between the watermarks raises one alarm", async () => {
    await start();
    then({ temperature_c: 81 }, 40);
    for (let i = 0; i < 50; i++) {
      then({ temperature_c: 79 }, 20);
      then({ temperature_c: 81 }, 20);
    }
    expect([names().length, alarms.history().length]).toEqual([1, 0]);
  });

  it("a sensor that falls silent ends no alarm and raises none", async () => {
    await start();
    then({ temperature_c: 90 }, 40);
    expect(then({ temperature_c: null, cpu_percent: null }, 600)).toEqual(["high_temperature"]);
  });

  it("a watermark applies from its change on", async () => {
    await start();
    expect(then({ temperature_c: 75 }, 60)).toEqual([]);
    watermarks = { ...watermarks, temperature_high_watermark_c: 74 };
    expect(then({}, 60)).toEqual(["high_temperature"]);
  });

  it("a low watermark above the high one does not make an alarm flap", async () => {
    watermarks = { ...watermarks, cpu_high_watermark_percent: 50, cpu_low_watermark_percent: 90 };
    await start();
    expect(then({ cpu_percent: 70 }, 600)).toEqual(["high_cpu_usage"]);
    expect(alarms.history()).toEqual([]);
    expect(then({ cpu_percent: 40 }, 100)).toEqual([]);
  });
});

const GIB = 2 ** 30;

describe("each rule", () => {
  const quiet = { memory_total_bytes: GIB, memory_available_bytes: 0.9 * GIB };
  it.each<[name: string, wrong: Record<string, unknown>, right: Record<string, unknown>]>([
    ["high_cpu_usage", { cpu_percent: 81 }, { cpu_percent: 59 }],
    [
      "high_system_memory_usage",
      { ...quiet, memory_available_bytes: 0.29 * GIB },
      { memory_available_bytes: 0.36 * GIB },
    ],
    [
      "high_process_memory_usage",
      { ...quiet, process_rss_bytes: 0.51 * GIB },
      { process_rss_bytes: 0.44 * GIB },
    ],
    ["high_temperature", { temperature_c: 80.1 }, { temperature_c: 69.9 }],
    ["undervoltage", { under_voltage: true }, { under_voltage: false }],
    ["undervoltage_since_boot", { under_voltage_seen: true }, { under_voltage_seen: false }],
    [
      "throttled",
      { throttled: false, frequency_capped: true, soft_temperature_limit: false },
      { frequency_capped: false },
    ],
    ["throttled_since_boot", { throttled_seen: true }, { throttled_seen: false }],
    ["low_disk_space", { disk_used_percent: 91 }, { disk_used_percent: 84 }],
    ["high_store_usage", { store_used_percent: 81 }, { store_used_percent: 69 }],
    [
      "high_write_rate",
      { process_written_bytes_per_day: 2.1e9 },
      { process_written_bytes_per_day: 1.7e9 },
    ],
    ["card_life_short", { card_life_years: 2.9 }, { card_life_years: 3.4 }],
    [
      "card_worn",
      { disk_life_used_percent: { mmcblk0: 80 }, disk_pre_eol: { mmcblk0: 1 } },
      { disk_life_used_percent: { mmcblk0: 70 } },
    ],
    ["card_worn", { disk_pre_eol: { mmcblk0: 2 } }, { disk_pre_eol: { mmcblk0: 1 } }],
    ["clock_not_synchronised", { clock_synchronised: false }, { clock_synchronised: true }],
    ["high_event_loop_lag", { event_loop_lag_p99_ms: 501 }, { event_loop_lag_p99_ms: 249 }],
    [
      "high_open_files",
      { process_open_files: 810, process_max_open_files: 1000 },
      { process_open_files: 690 },
    ],
  ])("%s is raised and cleared, and nothing else is", async (name, wrong, right) => {
    await start();
    expect(then(wrong, 400)).toEqual([name]);
    expect(then(right, 400)).toEqual([]);
    expect(alarms.history()).toHaveLength(1);
  });

  it("a board without any sensor has no alarm", async () => {
    await start();
    expect(then({}, 3600)).toEqual([]);
  });

  it("undervoltage is raised at once, and shown until the device starts again", async () => {
    await start();
    const board = { under_voltage: true, under_voltage_seen: true };
    expect(then(board, 10).sort()).toEqual(["undervoltage", "undervoltage_since_boot"]);
    expect(then({ under_voltage: false }, 3600)).toEqual(["undervoltage_since_boot"]);
  });

  it("a clock that is set within five minutes is no alarm", async () => {
    await start();
    then({ clock_synchronised: false }, 290);
    expect(then({ clock_synchronised: true }, 600)).toEqual([]);
  });

  it("a store that takes nothing says why", async () => {
    await start();
    others = { ...others, store: { state: "full", trouble: "12 bytes are free" } };
    expect(then({}, 10)).toEqual(["store_trouble"]);
    expect(alarms.active()).toMatchObject([{ details: { reason: "12 bytes are free" } }]);
    others = { ...others, store: { state: "ready", trouble: null } };
    expect(then({}, 20)).toEqual([]);
  });

  it("a configuration that was taken back is an alarm until the next change", async () => {
    const rolledBack = { reason: "port 1883 is in use", path: "/data/config/rejected-1.yaml" };
    others = { ...others, configuration: { rolledBack, setAside: null } };
    await start();
    expect(names()).toEqual(["config_rolled_back"]);
    expect(alarms.active()).toMatchObject([{ details: rolledBack }]);
    others = { ...others, configuration: { rolledBack: null, setAside: null } };
    expect(then({}, 10)).toEqual([]);
  });

  it("a store that was set aside is an alarm until somebody has seen it", async () => {
    storeAside = { path: "/data/store.damaged", reason: "a log of NULs", isRepaired: true };
    await start();
    expect(then({}, 3600)).toEqual(["store_set_aside"]);
    expect(alarms.active()).toMatchObject([{ details: { path: "/data/store.damaged" } }]);
    alarms.forceClear("store_set_aside");
    expect(then({}, 3600)).toEqual([]);
  });

  it("an alarm ended by force comes back when it goes wrong anew, not before", async () => {
    await start();
    then({ disk_used_percent: 95 }, 10);
    alarms.forceClear("low_disk_space");
    expect(then({}, 3600)).toEqual([]);
    then({ disk_used_percent: 50 }, 60);
    expect(then({ disk_used_percent: 95 }, 10)).toEqual(["low_disk_space"]);
  });

  it("what was wrong before a restart need not prove it anew", async () => {
    alarms.raise("clock_not_synchronised", "The clock is not set from the network.");
    device = { clock_synchronised: false };
    await start();
    expect(then({}, 10)).toEqual(["clock_not_synchronised"]);
    expect(then({ clock_synchronised: true }, 10)).toEqual([]);
  });
});

describe("bridges", () => {
  const bridge = (state: string, lastError: string | null = null, name = "cloud") => ({
    name,
    state,
    lastError,
  });

  it("a link that is down for 30 s is an alarm with its reason, until it is up for 10 s", async () => {
    bridges = [bridge("connected"), bridge("disabled", null, "off")];
    await start();
    bridges = [bridge("waiting", "connection refused"), bridge("disabled", null, "off")];
    expect(then({}, 30)).toEqual([]);
    expect(then({}, 10)).toEqual(["connector:mqtt:cloud"]);
    expect(alarms.active()).toMatchObject([{ details: { reason: "connection refused" } }]);
    bridges = [bridge("connected")];
    expect(then({}, 10)).toEqual(["connector:mqtt:cloud"]);
    expect(then({}, 10)).toEqual([]);
  });

  it("a link that comes and goes is one alarm, one that comes back soon is none", async () => {
    await start();
    for (let i = 0; i < 20; i++) {
      bridges = [bridge("connecting")];
      then({}, 20);
      bridges = [bridge("connected")];
      then({}, 10);
    }
    expect(alarms.history()).toEqual([]);
    bridges = [bridge("waiting")];
    then({}, 60);
    for (let i = 0; i < 20; i++) {
      bridges = [bridge("connected")];
      then({}, 10);
      bridges = [bridge("waiting")];
      then({}, 10);
    }
    expect([names().length, alarms.history().length]).toEqual([1, 0]);
  });

  it("a bridge that is switched off or removed has no alarm", async () => {
    bridges = [bridge("waiting"), bridge("waiting", null, "other")];
    await start();
    expect(then({}, 40)).toHaveLength(2);
    bridges = [bridge("disabled")];
    expect(then({}, 20)).toEqual([]);
  });
});

describe("certificates", () => {
  function certificate(days = 2) {
    const { server } = makeCertificates({ days });
    files = [{ use: "listeners", path: server.certFile }];
    return server.certFile;
  }

  it("are an alarm 30, 7 and 1 days before their end, and after it", async () => {
    certificate(60);
    await start();
    const endMs = watch?.certificates()[0]?.expiresAtMs ?? 0;
    expect(endMs).toBeGreaterThan(Date.now());
    const at = (daysLeft: number) => {
      clock.jumpTo(endMs - daysLeft * DAY_MS);
      clock.advance(10_000);
      return alarms.active().map(({ name, message }) => [name, message]);
    };
    const alarm = (message: string) => [["certificate_expiry/listeners", message]];
    expect(at(31)).toEqual([]);
    expect(at(29)).toEqual(alarm("A certificate expires within 30 days."));
    expect(at(6.9)).toEqual(alarm("A certificate expires within 7 days."));
    expect(at(0.9)).toEqual(alarm("A certificate expires within a day."));
    expect(at(-1)).toEqual(alarm("A certificate has expired."));
    // A clock that was ahead and is set right, one that is behind, and one that starts in 1970.
    expect(at(59)).toEqual([]);
    expect(at(200)).toEqual(alarm("A certificate is not valid yet, or the clock is wrong."));
    expect(at(20_000)).toEqual([]);
  });

  it("that are replaced end their alarm", async () => {
    const path = join(tempDir(), "certificate.pem");
    copyFileSync(certificate(), path);
    files = [{ use: "other", path }];
    clock.jumpTo(Date.now());
    await start();
    expect(names()).toEqual(["certificate_expiry/other"]);
    writeFileSync(path, "no certificate");
    clock.advance(600_000);
    while (watch?.certificates().length !== 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    clock.advance(10_000);
    expect(names()).toEqual([]);
  });

  it("that cannot be read are left to whoever uses them", async () => {
    files = [
      { use: "a", path: "/nonexistent" },
      { use: "b", path: "/proc/self/exe" },
      { use: "c", path: "/" },
    ];
    await start();
    expect(names()).toEqual([]);
  });
});

it("the README holds the table of alarms as it is", () => {
  const readme = readFileSync(new URL("README.md", import.meta.url), "utf8");
  const table = /<!-- generated: alarms -->\n+([\s\S]*?)\n+<!-- end: alarms -->/.exec(readme);
  expect(table?.[1]).toBe(renderAlarmTable());
});
