import { execFileSync } from "node:child_process";
import diagnosticsChannel from "node:diagnostics_channel";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../log/index.ts";
import { ManualClock } from "../time/index.ts";
import {
  createTelemetry,
  METRICS,
  renderMetricTable,
  type StoreFigures,
  type Telemetry,
} from "./index.ts";

/** Files of a Raspberry Pi 4 with Raspberry Pi's kernel, as far as the gateway reads them. */
const RASPBERRY_PI_4 = {
  "proc/stat":
    "cpu  1000 0 500 8000 500 0 0 0 0 0\ncpu0 500 0 250 4000 250 0 0 0 0 0\n" +
    "cpu1 500 0 250 4000 250 0 0 0 0 0\nintr 1 2 3\n",
  "proc/loadavg": "0.52 0.58 0.59 1/141 2034\n",
  "proc/uptime": "3661.27 14000.00\n",
  "proc/net/dev":
    "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes\n" +
    "    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0\n" +
    "  eth0: 1000000    2000    0    0    0     0          0         0   500000    1500    0    0    0     0       0          0\n" +
    " wlan0:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n",
  "proc/diskstats":
    "   1       0 ram0 0 0 0 0 0 0 0 0 0 0 0\n" +
    " 179       0 mmcblk0 41697 7316 3403050 10427 3284 19688 2048 3652 0 3768 14287\n" +
    " 179       1 mmcblk0p1 100 0 100 0 10 0 1024 0 0 0 0\n",
  "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
  "sys/block/mmcblk0/size": "62333952\n",
  "sys/block/ram0/size": "8192\n",
  "sys/block/mmcblk0boot0/size": "8192\n",
  "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
  "sys/class/thermal/thermal_zone0/temp": "48686\n",
  "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
  "run/systemd/timesync/synchronized": "",
};

let root = "";
let lines: string[] = [];
let started: Telemetry[] = [];
const log = createLog({ level: "debug" }, { write: (line) => void lines.push(line) });

beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), "tidegate-telemetry-"));
  lines = [];
  started = [];
});

afterEach(async () => {
  await Promise.all(started.map((telemetry) => telemetry.stop()));
  rmSync(root, { recursive: true });
});

function record(files: Readonly<Record<string, string>>): void {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    writeFileSync(path.join(root, file), text);
  }
}

async function start(clock = new ManualClock(), sources = {}): Promise<Telemetry> {
  const telemetry = createTelemetry({ log, clock, sources }, { dataDir: "/", root });
  started.push(telemetry);
  await telemetry.start();
  return telemetry;
}

describe("on a Raspberry Pi", () => {
  it("every sensor has its value after the start", async () => {
    record(RASPBERRY_PI_4);
    const telemetry = await start(new ManualClock(), { storeStatus: () => storeFigures(4711) });
    expect(telemetry.snapshot()).toMatchObject({
      board_model: "Raspberry Pi 4 Model B Rev 1.4",
      load_1m: 0.52,
      load_5m: 0.58,
      load_15m: 0.59,
      temperature_c: 48.7,
      throttle_bits: 0x50005,
      under_voltage: true,
      frequency_capped: false,
      throttled: true,
      soft_temperature_limit: false,
      under_voltage_seen: true,
      frequency_capped_seen: false,
      throttled_seen: true,
      soft_temperature_limit_seen: false,
      disk_written_bytes: { mmcblk0: 1_048_576 },
      disk_life_used_percent: null,
      network_rx_bytes: { eth0: 1_000_000, wlan0: 0 },
      network_tx_bytes: { eth0: 500_000, wlan0: 0 },
      uptime_s: 3661,
      clock_synchronised: true,
      store_bytes: 4711,
      store_used_percent: 47.1,
      store_queued_messages: 3,
      store_commit_longest_ms: 7.8,
      store_written_today_bytes: 15,
      store_fsyncs_today: 1,
      written_bytes: { queue: 100, session: 50, tables: 2_000_000 },
      fsyncs: { queue: 2, session: 1, tables: 0 },
    });
    expect(lines).toEqual([]);
  });

  it("a rate needs two samples and counts the time between them", async () => {
    record(RASPBERRY_PI_4);
    const clock = new ManualClock();
    const telemetry = await start(clock);
    expect(telemetry.snapshot()["cpu_percent"]).toBeNull();
    expect(telemetry.snapshot()["network_rx_bytes_per_s"]).toEqual({ eth0: null, wlan0: null });
    record({
      "proc/net/dev": RASPBERRY_PI_4["proc/net/dev"].replace("1000000", "1050000"),
    });
    clock.advance(10_000);
    expect(telemetry.snapshot()).toMatchObject({
      network_rx_bytes_per_s: { eth0: 5000, wlan0: 0 },
      network_tx_bytes_per_s: { eth0: 0, wlan0: 0 },
    });
  });

  it("processor time is shared out between busy, waiting and idle", async () => {
    record(RASPBERRY_PI_4);
    const clock = new ManualClock();
    const telemetry = await start(clock);
    record({
      "proc/stat":
        "cpu  1100 0 500 8050 550 0 0 0 0 0\ncpu0 600 0 250 4000 250 0 0 0 0 0\n" +
        "cpu1 500 0 250 4050 300 0 0 0 0 0\n",
    });
    clock.advance(2000);
    expect(telemetry.snapshot()).toMatchObject({
      cpu_percent: 50,
      cpu_iowait_percent: 25,
      cpu_core_percent: { 0: 100, 1: 0 },
    });
  });

  it("the mainline kernel's undervoltage alarm stands in for the firmware's word", async () => {
    record({
      "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
      "sys/class/hwmon/hwmon0/temp1_input": "51000\n",
      "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
      "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n",
    });
    const telemetry = await start();
    expect(telemetry.snapshot()).toMatchObject({
      temperature_c: 51,
      throttle_bits: null,
      under_voltage: true,
      throttled: null,
      under_voltage_seen: null,
    });
  });

  it("the firmware's word is found where the Raspberry Pi 5 has it", async () => {
    const soc = "soc@107c000000";
    record({ [`sys/devices/platform/${soc}/${soc}:firmware/get_throttled`]: "0\n" });
    expect((await start()).snapshot()).toMatchObject({ throttle_bits: 0, throttled: false });
  });
});

describe("a missing sensor", () => {
  it("gives null, without a word in the log", async () => {
    const telemetry = await start();
    expect(telemetry.snapshot()).toMatchObject({
      board_model: null,
      cpu_percent: null,
      temperature_c: null,
      throttled: null,
      disk_written_bytes: null,
      network_rx_bytes: null,
      clock_synchronised: null,
      process_open_files: null,
      store_bytes: null,
    });
    expect(lines).toEqual([]);
  });

  it("leaves no metric of the table out", async () => {
    const names = METRICS.map(({ name }) => name);
    expect(Object.keys((await start()).snapshot()).sort()).toEqual([...names].sort());
    expect(new Set(names).size).toBe(names.length);
  });

  it("is told from a clock that is not set yet", async () => {
    record({ "run/systemd/timesync/other": "" });
    expect((await start()).snapshot()["clock_synchronised"]).toBe(false);
  });

  it("an eMMC's life is the worse of its two values", async () => {
    record({
      "sys/block/mmcblk0/device/life_time": "0x02 0x03\n",
      "sys/block/mmcblk1/device/life_time": "0x00 0x00\n",
      "sys/block/mmcblk2/device/life_time": "0x0b 0x01\n",
    });
    const life = (await start()).snapshot()["disk_life_used_percent"];
    expect(life).toEqual({ mmcblk0: 30, mmcblk2: 100 });
  });
});

describe("trouble", () => {
  it("a source that fails gives null, is logged once, and is tried again", async () => {
    const clock = new ManualClock();
    let reads = 0;
    const storeStatus = () => {
      reads += 1;
      if (reads > 4) return storeFigures(reads);
      throw new Error("the store is gone");
    };
    const telemetry = await start(clock, { storeStatus });
    expect(telemetry.snapshot()["store_bytes"]).toBeNull();
    clock.advance(20_000);
    expect(telemetry.snapshot()["store_bytes"]).toBe(5);
    // Two sources ask the store.
    expect(lines.filter((line) => line.includes("telemetry source failed"))).toHaveLength(2);
  });

  it("a file with nonsense gives null and not a number", async () => {
    record({
      "proc/stat": "cpu\n",
      "proc/loadavg": "x y z\n",
      "proc/uptime": "\n",
      "proc/net/dev": "\n\n:\nnothing\n",
      "proc/diskstats": "1\n",
      "sys/class/thermal/thermal_zone0/type": "",
      "sys/class/thermal/thermal_zone0/temp": "hot\n",
      "sys/devices/platform/soc/soc:firmware/get_throttled": "?\n",
    });
    const clock = new ManualClock();
    const telemetry = await start(clock);
    clock.advance(60_000);
    expect(telemetry.snapshot()).toMatchObject({
      cpu_percent: null,
      load_1m: null,
      uptime_s: null,
      network_rx_bytes: {},
      disk_written_bytes: {},
      temperature_c: null,
      throttled: null,
    });
  });

  it("an interface of any name is only a member", async () => {
    record({
      "proc/net/dev": RASPBERRY_PI_4["proc/net/dev"].replace(" wlan0", " __proto__"),
    });
    const rx = (await start()).snapshot()["network_rx_bytes"];
    expect(Object.keys(rx ?? {})).toEqual(["eth0", "__proto__"]);
  });

  it("a source that hangs gives null from its next turn on, and the start does not wait for it", async () => {
    record(RASPBERRY_PI_4);
    const pipe = path.join(root, "sys/class/thermal/thermal_zone0/temp");
    rmSync(pipe);
    execFileSync("mkfifo", [pipe]);
    const clock = new ManualClock();
    const telemetry = createTelemetry({ log, clock, sources: {} }, { dataDir: "/", root });
    started.push(telemetry);
    const starting = telemetry.start();
    await settled(() => telemetry.snapshot()["throttle_bits"]);
    clock.advance(1000);
    await starting;
    clock.advance(60_000);
    expect(telemetry.snapshot()).toMatchObject({ temperature_c: null, load_1m: 0.52 });
    expect(lines.filter((line) => /sys.class.thermal.*does not answer/.test(line))).toHaveLength(1);
    appendFileSync(pipe, "45000\n");
    await settled(() => telemetry.snapshot()["temperature_c"] === 45);
  });

  it("an aborted start samples nothing", async () => {
    const telemetry = createTelemetry(
      { log, clock: new ManualClock(), sources: {} },
      { dataDir: "/", root },
    );
    await expect(telemetry.start(AbortSignal.abort())).rejects.toThrow();
    expect(telemetry.snapshot()["disk_total_bytes"]).toBeNull();
  });
});

describe("on the machine the test runs on", () => {
  it("memory, disk, process and event loop have plausible values", async () => {
    const clock = new ManualClock();
    const telemetry = createTelemetry({ log, clock, sources: {} }, { dataDir: root });
    started.push(telemetry);
    await telemetry.start();
    const monitor = monitorEventLoopDelay({ resolution: 50 });
    monitor.enable();
    await settled(() => monitor.count > 2);
    monitor.disable();
    clock.advance(10_000);
    const values = telemetry.snapshot();
    expect(values["memory_total_bytes"]).toBeGreaterThan(2 ** 26);
    expect(values["memory_used_bytes"]).toBeGreaterThan(0);
    expect(values["disk_total_bytes"]).toBeGreaterThan(2 ** 20);
    expect(values["disk_used_percent"]).toBeGreaterThanOrEqual(0);
    expect(values["process_rss_bytes"]).toBeGreaterThan(2 ** 24);
    expect(values["process_cpu_percent"]).toBeGreaterThanOrEqual(0);
    expect(values["event_loop_lag_max_ms"]).toBeLessThan(10_000);
  });

  it("sampling starts no process", async () => {
    const processes: unknown[] = [];
    const note = (message: unknown) => void processes.push(message);
    diagnosticsChannel.subscribe("child_process", note);
    const clock = new ManualClock();
    const telemetry = createTelemetry({ log, clock, sources: {} }, { dataDir: root });
    started.push(telemetry);
    await telemetry.start();
    for (let minute = 0; minute < 3; minute++) {
      clock.advance(60_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    diagnosticsChannel.unsubscribe("child_process", note);
    expect(processes).toEqual([]);
  });

  it("a stopped gateway takes no more samples, and stopping twice is harmless", async () => {
    const clock = new ManualClock();
    let reads = 0;
    const storeStatus = () => storeFigures(++reads);
    const telemetry = await start(clock, { storeStatus });
    await telemetry.stop();
    await telemetry.stop();
    clock.advance(60_000);
    expect(reads).toBe(2);
  });
});

it("the README holds the table of metrics as it is", () => {
  const readme = readFileSync(new URL("README.md", import.meta.url), "utf8");
  const table = /<!-- generated: metrics -->\n+([\s\S]*?)\n+<!-- end: metrics -->/.exec(readme);
  expect(table?.[1]).toBe(renderMetricTable());
});

/** A store with the given size on disk. */
function storeFigures(bytesOnDisk: number): StoreFigures {
  return {
    state: "ready",
    bytesOnDisk,
    maxBytes: 10_000,
    queuedMessages: 3,
    queuedBytes: 300,
    pendingBytes: 0,
    failedCommits: 0,
    lastCommitMs: 1.25,
    longestCommitMs: 7.75,
    tableBytesWritten: 2_000_000,
    writes: { queue: { bytes: 100, fsyncs: 2 }, session: { bytes: 50, fsyncs: 1 } },
    writesToday: { queue: { bytes: 10, fsyncs: 1 }, session: { bytes: 5, fsyncs: 0 } },
  };
}

/** Resolves once `condition` holds something: samples of a manual clock end in their own time. */
async function settled(condition: () => unknown): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
