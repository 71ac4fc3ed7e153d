import { expect, it } from "vitest";
import { startGateway, TEST_CONFIG } from "../helpers/gateway-process.ts";
import { until } from "../helpers/until.ts";
import { DEFAULT_STATE } from "./boot-state.ts";
import { Device } from "./device.ts";

/** The time in which a new version has to prove itself: real gateways, seconds instead of minutes. */

/** An update from slot A to slot B, in its first start. */
const TRIAL = {
  ...DEFAULT_STATE,
  seq: 9,
  order: "B A",
  left: { A: 6, B: 2 },
  good: { A: 1, B: 0 },
} as const;
const COMMITTED = { order: "B A", left: { A: 6, B: 6 }, good: { A: 1, B: 1 } };
const STOPPED = { ActiveState: "inactive", SubState: "dead", MainPID: "0" };

interface Terms {
  readonly healthyS: number;
  readonly limitS: number;
  readonly bridges?: string;
}

function onTrial({ healthyS, limitS, bridges = "" }: Terms): Device {
  const device = new Device("1.1.0");
  device.boot("B");
  device.putState(TRIAL);
  device.write(
    "data/update/trial",
    `SLOT=B\nFROM=1.0.0\nTO=1.1.0\nSOURCE=usb\nHEALTHY_S=${healthyS}\nBRIDGES=${bridges}\nACTIVE=yes\n`,
  );
  device.addEnvironment({ TIDEGATE_HEALTH_LIMIT_S: String(limitS) });
  return device;
}

function gatewayOf(device: Device, config = TEST_CONFIG) {
  return startGateway({ config, env: { RUNTIME_DIRECTORY: device.path("run/tidegate") } });
}

/** A gateway whose bridges all lead to a port of this machine. */
function bridged(tcpPort: number, names: readonly string[]): string {
  const rest =
    "clean_start: true, backoff_min_s: 1, backoff_max_s: 1, forwards: [{local_topic: up/#}]";
  const lines = names.map(
    (name) => `  ${name}: {server: "mqtt-tcp://127.0.0.1:${tcpPort}", ${rest}}`,
  );
  return `${TEST_CONFIG}bridges:\n${lines.join("\n")}\n`;
}

interface Told {
  readonly since: string;
  readonly until: string | null;
  readonly latest: string;
  readonly waiting_for: string;
}

/** What the status tells of the trial; undefined when it is not of one. */
function told(device: Device): Told | undefined {
  if (!device.has("data/update/status.json")) return undefined;
  return (device.status()["trial"] as Told | null) ?? undefined;
}

/** Waits until everything is healthy, and returns until when it has to stay so. */
function timeBegins(device: Device, not?: string): Promise<string> {
  return until(
    "everything to be healthy",
    () => {
      const moment = told(device)?.until ?? undefined;
      return moment === not ? undefined : moment;
    },
    20_000,
  );
}

const seconds = (from: string, to: string) => (Date.parse(to) - Date.parse(from)) / 1000;

/** What the slot before does when it runs again. */
async function backInSlotA(device: Device): Promise<void> {
  device.boot("A");
  device.write("usr/lib/tidegate-release", "VERSION=1.0.0\n");
  device.unit({ ActiveState: "failed" });
  await device.run("health-and-commit");
}

it("a new version is kept after it was healthy for as long as was asked, and says until when it waits", async () => {
  const device = onTrial({ healthyS: 4, limitS: 40 });
  await gatewayOf(device);
  const startMs = performance.now();
  const check = device.start("health-and-commit");
  const due = await timeBegins(device);
  expect(device.status()).toMatchObject({ state: "trial", from: "1.0.0", to: "1.1.0" });
  const { since = "", latest = "", waiting_for: waitsFor } = told(device) ?? {};
  expect(waitsFor).toBe("4 s in which everything stays healthy");
  expect(seconds(since, latest)).toBe(40);
  expect(seconds(since, due)).toBeGreaterThanOrEqual(4);
  expect(device.state().good.B).toBe(0);
  expect(await check.exited).toMatchObject({ code: 0 });
  expect(performance.now() - startMs).toBeGreaterThan(3500);
  expect(device.state()).toMatchObject(COMMITTED);
  expect(device.status()).toMatchObject({ state: "succeeded", trial: null });
}, 60_000);

it("a fault, and a restart that somebody asked for, begin the time anew and are no reason to go back", async () => {
  const device = onTrial({ healthyS: 4, limitS: 60 });
  await gatewayOf(device);
  const check = device.start("health-and-commit");
  const first = await timeBegins(device);
  device.unit({ ActiveState: "activating", SubState: "auto-restart" });
  const fault = await until(
    "the fault to be told",
    () => told(device)?.until === null && told(device)?.waiting_for,
    20_000,
  );
  expect(fault).toBe("the gateway is not ready: activating (auto-restart, success)");
  device.unit({ MainPID: "101" });
  const second = await timeBegins(device);
  expect(seconds(first, second)).toBeGreaterThan(0);
  // So quick a restart that no check has seen it.
  device.unit({ MainPID: "102" });
  await timeBegins(device, second);
  expect(await check.exited).toMatchObject({ code: 0 });
  expect(device.state()).toMatchObject(COMMITTED);
  expect(device.hasRebooted).toBe(false);
}, 90_000);

it("one that is never healthy for that long has failed when its time is over", async () => {
  const device = onTrial({ healthyS: 600, limitS: 5 });
  await gatewayOf(device);
  const check = device.start("health-and-commit");
  await timeBegins(device);
  device.unit(STOPPED);
  expect(await check.exited).toMatchObject({ code: 1 });
  expect(device.hasRebooted).toBe(true);
  await backInSlotA(device);
  expect(device.status()).toMatchObject({
    state: "fell_back",
    error: expect.stringMatching(
      /^it was never healthy for 600 s at a stretch: the gateway is not ready: inactive/,
    ),
    trial: null,
  });
  expect(device.read("data/update/fell-back")).toBe("1.1.0\n");
}, 60_000);

it("a trial that power cuts short goes on in the next start, from the beginning, until no start is left", async () => {
  const device = onTrial({ healthyS: 3, limitS: 60 });
  await gatewayOf(device);
  const cut = device.start("health-and-commit");
  await timeBegins(device);
  await cut.kill("SIGKILL");
  expect(device.state()).toMatchObject({ left: { A: 6, B: 2 }, good: { A: 1, B: 0 } });

  // The second start: U-Boot has used up another attempt.
  device.putState({ ...TRIAL, left: { A: 6, B: 1 } });
  const startMs = performance.now();
  expect((await device.run("health-and-commit")).code).toBe(0);
  expect(performance.now() - startMs).toBeGreaterThan(2500);
  expect(device.state()).toMatchObject(COMMITTED);

  // Had it been cut each time, the slot before would say so.
  const other = onTrial({ healthyS: 3, limitS: 60 });
  other.write("data/update/status.json", '{"state":"trial","progress":100,"error":null}\n');
  other.putState({ ...TRIAL, left: { A: 5, B: 0 } });
  await backInSlotA(other);
  expect(other.status()).toMatchObject({
    state: "fell_back",
    error: expect.stringContaining("did not come to an end in any of its starts"),
  });
}, 60_000);

it("bridges that were connected before have to be again, which is told, and waited for", async () => {
  const cloud = await startGateway();
  const device = onTrial({ healthyS: 2, limitS: 60, bridges: "cloud removed off" });
  const config = bridged(cloud.ports.tcp, ["cloud"]);
  const gateway = await gatewayOf(device, `${config}  off: {enable: false}\n`);
  await until("the bridge", () => device.read("run/tidegate/bridges").includes("cloud connected"));
  expect(device.read("run/tidegate/bridges")).toContain("off disabled\n");
  await cloud.child.kill();
  const check = device.start("health-and-commit");
  // What is told first is how the link ended, then why it can not be made again.
  await until(
    "the bridge to be missed",
    () =>
      told(device)?.waiting_for.startsWith(
        "bridge cloud was connected before the update and is not since: connection refused by",
      ),
    30_000,
  );
  expect(told(device)?.until).toBeNull();
  const again = TEST_CONFIG.replace("port: 0", `port: ${cloud.ports.tcp}`);
  await startGateway({ config: again });
  expect(await check.exited).toMatchObject({ code: 0 });
  expect(device.state()).toMatchObject(COMMITTED);
  await gateway.child.kill();
  expect(device.has("run/tidegate/bridges")).toBe(false);
}, 90_000);

it("a fall back because of a bridge only is told as such, and the version counts as broken at the third time", async () => {
  const cloud = await startGateway();
  const device = onTrial({ healthyS: 2, limitS: 12, bridges: "cloud" });
  await gatewayOf(device, bridged(cloud.ports.tcp, ["cloud"]));
  await cloud.child.kill();
  await until(
    "the bridge to be down",
    () => !device.read("run/tidegate/bridges").includes("connected\n"),
  );
  expect((await device.run("health-and-commit")).code).toBe(1);
  const attempt = device.read("data/update/attempt.json");
  await backInSlotA(device);
  expect(device.status()).toMatchObject({
    state: "fell_back",
    error: expect.stringMatching(
      /^only a bridge was missing, .* may be tried again: bridge cloud was connected before/,
    ),
  });
  expect(device.has("data/update/fell-back")).toBe(false);
  for (const times of [2, 3]) {
    device.write("data/update/trial", "SLOT=B\nFROM=1.0.0\nTO=1.1.0\nSOURCE=usb\nACTIVE=yes\n");
    device.write("data/update/attempt.json", attempt);
    await backInSlotA(device);
    expect(device.history()).toHaveLength(times);
    expect(device.has("data/update/fell-back")).toBe(times === 3);
  }
  expect(device.read("data/update/fell-back")).toBe("1.1.0\n");
}, 90_000);
