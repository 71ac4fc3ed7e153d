import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../log/index.ts";
import { ManualClock } from "../time/index.ts";
import { createTelemetry, METRICS, type Telemetry } from "./index.ts";
import { BOARDS, type Board, layOut, recorded } from "./recorded-tree.testing.ts";

const HOUR_MS = 3_600_000;

let root = "";
let lines: string[] = [];
let telemetry: Telemetry | null = null;
const log = createLog({ level: "debug" }, { write: (line) => void lines.push(line) });

beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), "tidegate-board-"));
  lines = [];
});

afterEach(async () => {
  await telemetry?.stop();
  rmSync(root, { recursive: true });
});

async function start(board: Board, clock = new ManualClock(), enduranceBytes?: number) {
  layOut(root, recorded(board));
  const sources = { cardEnduranceBytes: () => enduranceBytes ?? null };
  telemetry = createTelemetry({ log, clock, sources }, { dataDir: "/var/lib/tidegate", root });
  await telemetry.start();
  return telemetry;
}

/** Resolves once `condition` holds: samples of a manual clock end in their own time. */
async function settled(condition: () => unknown): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe.each(BOARDS)("on the files of a %s", (board) => {
  it("every metric is there, none fails, and what the files hold is not null", async () => {
    const values = (await start(board)).snapshot();
    expect(Object.keys(values)).toEqual(METRICS.map(({ name }) => name));
    expect(lines).toEqual([]);
    for (const name of [
      "board_model",
      "kernel",
      "boot_id",
      "load_1m",
      "temperature_c",
      "sensor_temperature_c",
      "cpu_frequency_mhz",
      "under_voltage",
      "disk_total_bytes",
      "disk_size_bytes",
      "disk_written_bytes",
      "network_rx_bytes",
      "network_link",
      "uptime_s",
      "clock_synchronised",
      "process_written_bytes",
      "process_max_open_files",
    ]) {
      expect([name, values[name]]).not.toEqual([name, null]);
    }
  });
});

describe("each board", () => {
  it("a Raspberry Pi 3 whose supply is weak says so, now and since its start", async () => {
    expect((await start("pi-3")).snapshot()).toMatchObject({
      board_model: "Raspberry Pi 3 Model B Plus Rev 1.3",
      kernel: "6.6.51+rpt-rpi-v8",
      temperature_c: 58,
      sensor_temperature_c: { "cpu_thermal temp1": 58 },
      fan_rpm: {},
      cpu_frequency_mhz: 600,
      throttle_bits: 0x50005,
      under_voltage: true,
      throttled: true,
      under_voltage_seen: true,
      soft_temperature_limit_seen: false,
      disk_size_bytes: { mmcblk0: 31_116_288 * 512 },
      disk_read_bytes: { mmcblk0: 3_403_050 * 512 },
      disk_written_bytes: { mmcblk0: 1_294_336 * 512 },
      disk_life_used_percent: null,
      network_rx_bytes: { eth0: 48_210_311, wlan0: 0 },
      network_rx_errors: { eth0: 12, wlan0: 0 },
      network_link: { eth0: 1, wlan0: 0 },
      wifi_signal_dbm: null,
      clock_synchronised: true,
      process_max_open_files: 65_536,
    });
    const mounts = telemetry?.snapshot()["filesystem_total_bytes"] ?? {};
    expect(Object.keys(mounts)).toEqual(["/", "/boot/firmware"]);
  });

  it("a Compute Module 4 tells the life of its eMMC", async () => {
    expect((await start("pi-4")).snapshot()).toMatchObject({
      disk_life_used_percent: { mmcblk0: 30 },
      disk_pre_eol: { mmcblk0: 1 },
      disk_size_bytes: { mmcblk0: 61_071_360 * 512 },
      under_voltage: false,
      throttled_seen: false,
      network_rx_errors: { eth0: 7 },
      network_tx_errors: { eth0: 1 },
    });
    // The network drive is not asked, and a file system that is mounted twice stands there once.
    const mounts = telemetry?.snapshot()["filesystem_total_bytes"] ?? {};
    expect(Object.keys(mounts)).toEqual(["/", "/var/lib"]);
  });

  it("a Raspberry Pi 5 shows its sensors, fan, disks and wireless", async () => {
    expect((await start("pi-5")).snapshot()).toMatchObject({
      sensor_temperature_c: {
        "cpu_thermal temp1": 51.8,
        "nvme Composite": 41.9,
        "rp1_adc temp1": 49.9,
      },
      fan_rpm: { "pwmfan fan1": 2877 },
      cpu_frequency_mhz: 2400,
      throttle_bits: 0,
      disk_size_bytes: { mmcblk0: 62_333_952 * 512, nvme0n1: 976_773_168 * 512 },
      disk_written_bytes: { mmcblk0: 0, nvme0n1: 8_294_336 * 512 },
      network_link: { eth0: 1, wlan0: 1 },
      wifi_signal_dbm: { wlan0: -46 },
    });
  });

  it("a Zero 2 W with the mainline kernel knows undervoltage of now only, and that its clock is not set", async () => {
    expect((await start("pi-zero-2-w")).snapshot()).toMatchObject({
      throttle_bits: null,
      under_voltage: true,
      under_voltage_seen: null,
      throttled: null,
      wifi_signal_dbm: { wlan0: -79 },
      clock_synchronised: false,
    });
  });
});

describe("the life of the card", () => {
  async function afterHours(hours: number, moreMegabytes: number, enduranceBytes?: number) {
    const clock = new ManualClock();
    const telemetry = await start("pi-3", clock, enduranceBytes);
    const before = telemetry.snapshot();
    const { "proc/diskstats": diskstats = "", "proc/self/io": io = "" } = recorded("pi-3");
    const sectors = 1_294_336 + moreMegabytes * 2048;
    writeFileSync(path.join(root, "proc/diskstats"), diskstats.replace("1294336", String(sectors)));
    writeFileSync(
      path.join(root, "proc/self/io"),
      io.replace("write_bytes: 25165824", `write_bytes: ${25_165_824 + 1_048_576}`),
    );
    clock.advance(hours * HOUR_MS);
    await settled(() => telemetry.snapshot()["card_life_years"] !== before["card_life_years"]);
    return telemetry.snapshot();
  }

  it("is not told before an hour has passed", async () => {
    const clock = new ManualClock();
    const telemetry = await start("pi-3", clock);
    clock.advance(0.9 * HOUR_MS);
    await settled(() => telemetry.snapshot()["process_written_bytes"]);
    expect(telemetry.snapshot()).toMatchObject({
      process_written_bytes: 25_165_824,
      process_written_bytes_per_day: null,
      card_written_bytes_per_day: null,
      card_life_years: null,
    });
  });

  it("is projected from what everybody writes to the disk of the data directory", async () => {
    // 100 MiB in 2 hours; 16 GB a hundred times over.
    const values = await afterHours(2, 100);
    expect(values["process_written_bytes_per_day"]).toBe(12 * 1_048_576);
    expect(values["card_written_bytes_per_day"]).toBe(1200 * 1_048_576);
    expect(values["card_life_years"]).toBeCloseTo(
      (31_116_288 * 512 * 100) / 1_258_291_200 / 365,
      1,
    );
  });

  it("is projected from what the maker promises where that is set", async () => {
    const values = await afterHours(1, 100, 5e12);
    expect(values["card_life_years"]).toBeCloseTo(5e12 / 2_516_582_400 / 365, 1);
  });
});

describe("a sensor that does not answer", () => {
  it("is null while the others go on", async () => {
    const files = recorded("pi-5");
    layOut(root, files);
    rmSync(path.join(root, "sys/class/hwmon/hwmon1/temp1_input"));
    writeFileSync(path.join(root, "sys/class/hwmon/hwmon2/temp1_input"), "nonsense\n");
    telemetry = createTelemetry(
      { log, clock: new ManualClock(), sources: {} },
      { dataDir: "/var/lib/tidegate", root },
    );
    await telemetry.start();
    expect(telemetry.snapshot()["sensor_temperature_c"]).toEqual({
      "cpu_thermal temp1": 51.8,
      "rp1_adc temp1": null,
    });
    expect(lines).toEqual([]);
  });
});
