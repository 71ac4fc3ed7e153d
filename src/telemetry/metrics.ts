import {
  clockSource,
  kernelSource,
  modelSource,
  temperatureSource,
  throttleSource,
} from "./board.ts";
import { cpuSource, loadSource, uptimeSource } from "./cpu.ts";
import {
  diskLifeSource,
  diskSizeSource,
  diskSpaceSource,
  diskTrafficSource,
  fileSystemSource,
} from "./disk.ts";
import { flashSource } from "./flash.ts";
import { memorySource } from "./memory.ts";
import { group, type Metric, type MetricGroup, tenths } from "./metric.ts";
import { linkSource, networkSource, perInterface, wirelessSource } from "./network.ts";
import { eventLoopSource, fileLimitSource, openFilesSource, processSource } from "./process.ts";
import { frequencySource, sensorSource } from "./sensors.ts";
import { storeSource, sumOf, usedPercent, writesSource } from "./store.ts";

/**
 * Every metric of the device, under the source it is read from. Periods and origins are the
 * source's; publishers, the API and the documents read the rows. One long file, because it is one
 * table: what is measured is seen at a glance, and a metric is one row here and nothing elsewhere.
 */
export const METRIC_GROUPS: readonly MetricGroup[] = [
  group(modelSource, [
    { name: "board_model", unit: "text", doc: "Name of the board.", read: (model) => model },
  ]),
  group(kernelSource, [
    { name: "kernel", unit: "text", doc: "The running kernel.", read: ({ release }) => release },
    {
      name: "boot_id",
      unit: "text",
      doc: "Made by the kernel at every start of the device.",
      read: ({ bootId }) => bootId,
    },
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
  group(sensorSource, [
    {
      name: "sensor_temperature_c",
      unit: "°C",
      label: "sensor",
      doc: "Every thermometer with a driver, by the names of driver and sensor.",
      read: ({ tempC }) => tempC,
    },
    {
      name: "fan_rpm",
      unit: "rpm",
      label: "sensor",
      doc: "Speed of each fan.",
      read: ({ fanRpm }) => fanRpm,
    },
  ]),
  group(frequencySource, [
    {
      name: "cpu_frequency_mhz",
      unit: "MHz",
      doc: "What the first core runs at.",
      read: (mhz) => mhz,
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
  group(fileSystemSource, [
    {
      name: "filesystem_total_bytes",
      unit: "bytes",
      label: "mount",
      doc: "Size of every file system on a disk, by where it is mounted.",
      read: ({ totalBytes }) => totalBytes,
    },
    {
      name: "filesystem_free_bytes",
      unit: "bytes",
      label: "mount",
      doc: "What is free of it, without root's reserve.",
      read: ({ freeBytes }) => freeBytes,
    },
    {
      name: "filesystem_used_percent",
      unit: "percent",
      label: "mount",
      doc: "What is used of it, as `df` counts.",
      read: (each) => each.usedPercent,
    },
  ]),
  group(diskSizeSource, [
    {
      name: "disk_size_bytes",
      unit: "bytes",
      label: "disk",
      doc: "Size of each disk or card.",
      read: (disks) => disks,
    },
  ]),
  group(diskTrafficSource, [
    {
      name: "disk_read_bytes",
      unit: "bytes",
      kind: "counter",
      label: "disk",
      doc: "Bytes read since the start of the device, by anybody.",
      read: ({ readBytes }) => readBytes,
    },
    {
      name: "disk_written_bytes",
      unit: "bytes",
      kind: "counter",
      label: "disk",
      doc: "Bytes written since the start of the device, by anybody.",
      read: ({ writtenBytes }) => writtenBytes,
    },
  ]),
  group(diskLifeSource, [
    {
      name: "disk_life_used_percent",
      unit: "percent",
      label: "disk",
      doc: "Used life of an eMMC by its own estimate, in steps of 10.",
      read: (each) => each.usedPercent,
    },
    {
      name: "disk_pre_eol",
      unit: "count",
      label: "disk",
      doc: "An eMMC's spare blocks: 1 = normal, 2 = 80 % used, 3 = 90 % used.",
      read: ({ preEnd }) => preEnd,
    },
  ]),
  group(flashSource, [
    {
      name: "process_written_bytes",
      unit: "bytes",
      kind: "counter",
      doc: "What the kernel wrote to disks for the gateway since its start, whole pages.",
      read: ({ processWrittenBytes }) => processWrittenBytes,
    },
    {
      name: "process_written_bytes_per_day",
      unit: "bytes/day",
      doc: "The same per day, over the newest 24 hours; null in the first hour.",
      read: ({ processBytesPerDay }) => processBytesPerDay,
    },
    {
      name: "card_written_bytes_per_day",
      unit: "bytes/day",
      doc: "What anybody writes per day to the disk that holds the data directory.",
      read: ({ diskBytesPerDay }) => diskBytesPerDay,
    },
    {
      name: "card_life_years",
      unit: "years",
      doc: "How long that disk lasts at this rate: `sysmon.card_endurance_gb`, else 100 times its size; at most 100.",
      read: ({ lifeYears }) => lifeYears,
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
      name: "network_rx_errors",
      unit: "count",
      kind: "counter",
      label: "interface",
      doc: "Packets received damaged or dropped.",
      read: (sample) => perInterface(sample, "rxErrors"),
    },
    {
      name: "network_tx_errors",
      unit: "count",
      kind: "counter",
      label: "interface",
      doc: "Packets not sent.",
      read: (sample) => perInterface(sample, "txErrors"),
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
  group(linkSource, [
    {
      name: "network_link",
      unit: "flag",
      label: "interface",
      doc: "1 = the interface has a link, 0 = it has none; null where its driver cannot tell.",
      read: (links) => links,
    },
  ]),
  group(wirelessSource, [
    {
      name: "wifi_signal_dbm",
      unit: "dBm",
      label: "interface",
      doc: "Signal level of wireless interfaces.",
      read: (levels) => levels,
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
  group(fileLimitSource, [
    {
      name: "process_max_open_files",
      unit: "count",
      doc: "Most files and sockets the gateway may hold.",
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
      read: ({ bytesOnDisk }) => bytesOnDisk,
    },
    {
      name: "store_used_percent",
      unit: "percent",
      doc: "The share of `store.max_bytes` that is.",
      read: usedPercent,
    },
    {
      name: "store_queued_messages",
      unit: "count",
      doc: "Messages in the queues of all sessions.",
      read: ({ queuedMessages }) => queuedMessages,
    },
    {
      name: "store_queued_bytes",
      unit: "bytes",
      doc: "Their topics and payloads.",
      read: ({ queuedBytes }) => queuedBytes,
    },
    {
      name: "store_pending_bytes",
      unit: "bytes",
      doc: "Recorded and not yet on the disk.",
      read: ({ pendingBytes }) => pendingBytes,
    },
    {
      name: "store_commit_last_ms",
      unit: "ms",
      doc: "Duration of the newest commit.",
      read: ({ lastCommitMs }) => tenths(lastCommitMs),
    },
    {
      name: "store_commit_longest_ms",
      unit: "ms",
      doc: "Duration of the longest commit since the start.",
      read: ({ longestCommitMs }) => tenths(longestCommitMs),
    },
    {
      name: "store_failed_commits",
      unit: "count",
      kind: "counter",
      doc: "Commits that failed and were tried again.",
      read: ({ failedCommits }) => failedCommits,
    },
    {
      name: "store_written_today_bytes",
      unit: "bytes",
      doc: "Written by the store since the day of gateway time began, without LevelDB's tables.",
      read: ({ writesToday }) => sumOf(writesToday, "bytes"),
    },
    {
      name: "store_fsyncs_today",
      unit: "count",
      doc: "Its commits with fsync since then.",
      read: ({ writesToday }) => sumOf(writesToday, "fsyncs"),
    },
  ]),
  group(writesSource, [
    {
      name: "written_bytes",
      unit: "bytes",
      kind: "counter",
      label: "cause",
      doc: "What the gateway wrote since its start, by what it was for.",
      read: ({ bytes }) => bytes,
    },
    {
      name: "fsyncs",
      unit: "count",
      kind: "counter",
      label: "cause",
      doc: "Waits for the disk since the start of the gateway, by what they were for.",
      read: (sample) => sample.fsyncs,
    },
  ]),
];

/** Every metric, in the order of the document. */
export const METRICS: readonly Metric[] = METRIC_GROUPS.flatMap(({ metrics }) => metrics);
