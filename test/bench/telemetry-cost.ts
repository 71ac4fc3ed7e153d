/**
 * CPU time that sampling this machine costs, in a process that does nothing else.
 *
 * Usage: telemetry-cost.ts SECONDS [alone]
 *
 * Prints milliseconds of CPU time over SECONDS seconds; with `alone` those of the same process without
 * telemetry.
 */
import { tmpdir } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { createLog } from "../../src/log/index.ts";
import { createTelemetry } from "../../src/telemetry/index.ts";
import { systemClock } from "../../src/time/index.ts";

const seconds = Number(process.argv[2] ?? 60);
const telemetry = createTelemetry(
  { log: createLog({ level: "error" }), clock: systemClock, sources: {} },
  { dataDir: tmpdir() },
);
if (process.argv[3] !== "alone") await telemetry.start();
// What is compiled and looked for once belongs to the start.
await delay(5000);
const before = process.cpuUsage();
await delay(seconds * 1000);
const { user, system } = process.cpuUsage(before);
await telemetry.stop();
console.log((user + system) / 1000);
