import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { tempDir } from "../../test/helpers/temp-dir.ts";
import { until } from "../../test/helpers/until.ts";
import { createLog } from "../log/index.ts";
import { ManualClock } from "../time/index.ts";
import { createBridgeReport, type ReportedBridge } from "./index.ts";

const log = createLog({ level: "fatal" });
const up = (name: string): ReportedBridge => ({ name, state: "connected", lastError: null });

function reporting(directory: string, bridges: ReportedBridge[]) {
  const clock = new ManualClock();
  const report = createBridgeReport({ log, clock, bridges: () => bridges }, directory);
  return { clock, report, text: () => readFileSync(join(directory, "bridges"), "utf8") };
}

it("tells name, state and reason of each bridge from the start on, to root and the gateway only", async () => {
  const directory = tempDir();
  const down = { name: "backup", state: "waiting", lastError: "no route to host" };
  const { report, text } = reporting(directory, [up("cloud"), down]);
  await report.start();
  expect(text()).toBe("cloud connected\nbackup waiting no route to host\n");
  expect(statSync(join(directory, "bridges")).mode & 0o777).toBe(0o600);
  await report.stop();
  expect(existsSync(join(directory, "bridges"))).toBe(false);
});

it("tells a change within a second, and writes nothing without one", async () => {
  const directory = tempDir();
  const bridges = [up("cloud")];
  const { clock, report, text } = reporting(directory, bridges);
  const writtenNs = () => statSync(join(directory, "bridges"), { bigint: true }).mtimeNs;
  await report.start();
  const firstNs = writtenNs();
  clock.advance(10_000);
  bridges.push(up("backup"));
  expect(writtenNs()).toBe(firstNs);
  clock.advance(1000);
  await until("the change", () => text() === "cloud connected\nbackup connected\n");
  bridges.length = 0;
  clock.advance(1000);
  await until("the removal", () => text() === "");
  await report.stop();
});

it("a reason cannot tell of another bridge, whatever the far side said", async () => {
  const directory = tempDir();
  const lastError = `no\ncloud connected\r\u2028\u0000${"x".repeat(1000)}`;
  const { report, text } = reporting(directory, [{ name: "a", state: "waiting", lastError }]);
  await report.start();
  expect(text().split("\n")).toHaveLength(2);
  expect(text().length).toBeLessThan(320);
  await report.stop();
});

it("a directory that cannot be written is tried again, and where nobody is to be told nothing happens", async () => {
  const folder = join(tempDir(), "run");
  const { clock, report, text } = reporting(folder, [up("cloud")]);
  await report.start();
  mkdirSync(folder);
  clock.advance(1000);
  await until("the report", () => existsSync(join(folder, "bridges")));
  expect(text()).toBe("cloud connected\n");
  await report.stop();
  const nowhere = createBridgeReport({ log, clock, bridges: () => [] }, null);
  await nowhere.start();
  await nowhere.stop();
});
