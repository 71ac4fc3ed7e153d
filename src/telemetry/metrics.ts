import { clockSource, modelSource, temperatureSource, throttleSource } from "./board.ts";
import { cpuSource, loadSource, uptimeSource } from "./cpu.ts";
import { diskLifeSource, diskSpaceSource, diskWritesSource } from "./disk.ts";
import { memorySource } from "./memory.ts";
import { group, type Metric, type MetricGroup } from "./metric.ts";
import { networkSource, perInterface } from "./network.ts";
import { eventLoopSource, openFilesSource, processSource, storeSource } from "./process.ts";

/**
 * Every metric of the device, under the source it is read from. Periods and origins are the
 * source's; publishers, the API and the documents read the rows.
 */
export const METRIC_GROUPS: readonly MetricGroup[] = [
  group(modelSource, [
    { name: "board_model", unit: "text", doc: "Name of the board.", read: (model) => model },
  ]),
  group(cpuSource, [
    {
      name: "cpu_percent",
      unit: "percent",
      doc: "Processor time in use, all cores together.",
      read: (cpu) => cpu.busyPercent,
    },
    {
      name: "cpu_core_percent",
      unit: "percent",
      label: "core",
      doc: "Processor time in use, by core.",
      read: (cpu) => cpu.coreBusyPercent,
    },
    {
      name: "cpu_iowait_percent",
      unit: "percent",
      doc: "Processor time spent waiting for the disk.",
      read: (cpu) => cpu.ioWaitPercent,
    },
  ]),
  group(loadSource, [
    { name: "load_1m", unit: "count", doc: "Load average, 1 minute.", read: ([m1]) => m1 ?? null },
    {
      name: "load_5m",
      unit: "count",
      doc: "Load average, 5 minutes.",
      read: ([, m5]) => m5 ?? null,
    },
    {
      name: "load_15m",
      unit: "count",
      doc: "Load average, 15 minutes.",
      read: ([, , m15]) => m15 ?? null,
    },
  ]),
  group(temperatureSource, [
    {
      name: "temperature_c",
      unit: "°C",
      doc: "Temperature of the processor.",
      read: (tempC) => tempC,
    },
  ]),
  group(throttleSource, [
    {
      name: "throttle_bits",
      unit: "count",
      doc: "The firmware's word, as `vcgencmd get_throttled` shows it.",
      read: (word) => (word.has(1) === null ? null : word.bits),
    },
    {
      name: "under_voltage",
      unit: "flag",
      doc: "The supply is below 4.63 V.",
      read: (word) => word.has(0),
    },
    {
      name: "frequency_capped",
      unit: "flag",
      doc: "The processor's frequency is capped.",
      read: (word) => word.has(1),
    },
    {
      name: "throttled",
      unit: "flag",
      doc: "The processor is throttled.",
      read: (word) => word.has(2),
    },
    {
      name: "soft_temperature_limit",
      unit: "flag",
      doc: "The soft temperature limit is reached.",
      read: (word) => word.has(3),
    },
    {
      name: "under_voltage_seen",
      unit: "flag",
      doc: "Undervoltage at any time since the start.",
      read: (word) => word.has(16),
    },
    {
      name: "frequency_capped_seen",
      unit: "flag",
      doc: "Capped at any time since the start.",
      read: (word) => word.has(17),
    },
    {
      name: "throttled_seen",
      unit: "flag",
      doc: "Throttled at any time since the start.",
      read: (word) => word.has(18),
    },
    {
      name: "soft_temperature_limit_seen",
      unit: "flag",
      doc: "Soft temperature limit reached at any time since the start.",
      read: (word) => word.has(19),
    },
  ]),
  group(memorySource, [
    {
      name: "memory_total_bytes",
      unit: "bytes",
      doc: "Memory of the device.",
      read: (memory) => memory.totalBytes,
    },
    {
      name: "memory_available_bytes",
      unit: "bytes",
      doc: "Memory that programs can still get.",
      read: (memory) => memory.availableBytes,
    },
    {
      name: "memory_used_bytes",
      unit: "bytes",
      doc: "Memory in use, without caches.",
      read: (memory) => memory.usedBytes,
    },
    {
      name: "swap_total_bytes",
      unit: "bytes",
      doc: "Swap space; 0 = none.",
      read: (memory) => memory.swapTotalBytes,
    },
    {
      name: "swap_used_bytes",
      unit: "bytes",
      doc: "Swap space in use.",
      read: (memory) => memory.swapUsedBytes,
    },
  ]),
  group(diskSpaceSource, [
    {
      name: "disk_total_bytes",
      unit: "bytes",
      doc: "Size of the file system that holds the data directory.",
      read: (disk) => disk.totalBytes,
    },
    {
      name: "disk_free_bytes",
      unit: "bytes",
      doc: "What the gateway can still write there.",
      read: (disk) => disk.freeBytes,
    },
    {
      name: "disk_used_percent",
      unit: "percent",
      doc: "What is used of it, as `df` counts.",
      read: (disk) => disk.usedPercent,
    },
  ]),
  group(diskWritesSource, [
    {
      name: "disk_written_bytes",
      unit: "bytes",
      kind: "counter",
      label: "disk",
      doc: "Bytes written since the start of the device, by anybody.",
      read: (disks) => disks,
    },
  ]),
  group(diskLifeSource, [
    {
      name: "disk_life_used_percent",
      unit: "percent",
      label: "disk",
      doc: "Used life of an eMMC by its own estimate, in steps of 10.",
      read: (disks) => disks,
    },
  ]),
  group(networkSource, [
    {
      name: "network_rx_bytes",
      unit: "bytes",
      kind: "counter",
      label: "interface",
      doc: "Bytes received.",
      read: (sample) => perInterface(sample, "rxBytes"),
    },
    {
      name: "network_tx_bytes",
      unit: "bytes",
      kind: "counter",
      label: "interface",
      doc: "Bytes sent.",
      read: (sample) => perInterface(sample, "txBytes"),
    },
    {
      name: "network_rx_bytes_per_s",
      unit: "bytes/s",
      label: "interface",
      doc: "Bytes received per second.",
      read: (sample) => perInterface(sample, "rxBytesPerS"),
    },
    {
      name: "network_tx_bytes_per_s",
      unit: "bytes/s",
      label: "interface",
      doc: "Bytes sent per second.",
      read: (sample) => perInterface(sample, "txBytesPerS"),
    },
  ]),
  group(uptimeSource, [
    {
      name: "uptime_s",
      unit: "s",
      kind: "counter",
      doc: "Time since the start of the device.",
      read: (uptimeS) => Math.floor(uptimeS),
    },
  ]),
  group(clockSource, [
    {
      name: "clock_synchronised",
      unit: "flag",
      doc: "The clock was set from the network since the start; null where systemd-timesyncd does not run.",
      read: (isSynchronised) => isSynchronised,
    },
  ]),
  group(processSource, [
    {
      name: "process_cpu_percent",
      unit: "percent",
      doc: "Processor time of the gateway; 100 = one core.",
      read: (sample) => sample.cpuPercent,
    },
    {
      name: "process_rss_bytes",
      unit: "bytes",
      doc: "Memory of the gateway.",
      read: (sample) => sample.rssBytes,
    },
    {
      name: "process_heap_used_bytes",
      unit: "bytes",
      doc: "JavaScript objects.",
      read: (sample) => sample.heapUsedBytes,
    },
    {
      name: "process_heap_total_bytes",
      unit: "bytes",
      doc: "Memory set aside for JavaScript objects.",
      read: (sample) => sample.heapTotalBytes,
    },
    {
      name: "process_buffers_bytes",
      unit: "bytes",
      doc: "Buffers outside the JavaScript heap.",
      read: (sample) => sample.buffersBytes,
    },
    {
      name: "process_uptime_s",
      unit: "s",
      kind: "counter",
      doc: "Time since the start of the gateway.",
      read: (sample) => sample.uptimeS,
    },
  ]),
  group(openFilesSource, [
    {
      name: "process_open_files",
      unit: "count",
      doc: "Files and sockets the gateway holds; null before Linux 6.2.",
      read: (count) => count,
    },
  ]),
  group(eventLoopSource, [
    {
      name: "event_loop_lag_mean_ms",
      unit: "ms",
      doc: "How late the event loop was, mean of the period.",
      read: (loop) => loop.meanMs,
    },
    {
      name: "event_loop_lag_p99_ms",
      unit: "ms",
      doc: "99th percentile of it.",
      read: (loop) => loop.p99Ms,
    },
    {
      name: "event_loop_lag_max_ms",
      unit: "ms",
      doc: "The worst of it.",
      read: (loop) => loop.maxMs,
    },
    {
      name: "event_loop_busy_percent",
      unit: "percent",
      doc: "Share of the time the event loop was at work.",
      read: (loop) => loop.busyPercent,
    },
  ]),
  group(storeSource, [
    {
      name: "store_bytes",
      unit: "bytes",
      doc: "The store on disk.",
      read: (sizeBytes) => sizeBytes,
    },
  ]),
];

/** Every metric, in the order of the document. */
export const METRICS: readonly Metric[] = METRIC_GROUPS.flatMap(({ metrics }) => metrics);
