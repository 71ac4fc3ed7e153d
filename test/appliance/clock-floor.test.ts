import { chmodSync, mkdirSync, readdirSync, symlinkSync, utimesSync } from "node:fs";
import { expect, it } from "vitest";
import { startGateway } from "../helpers/gateway-process.ts";
import { login } from "../helpers/http-v5.ts";
import { connectDevice } from "../helpers/mqtt.ts";
import { type Device, newDevice } from "./device.ts";

const STORE = "var/lib/tidegate/store";

/** The day of the build, and a clock that starts there, s. */
const BUILT_S = Date.UTC(2026, 0, 1) / 1000;
const DAY_S = 86_400;

/** A device whose clock shows `nowS`, and can be set. */
function deviceAt(nowS: number): Device {
  const device = newDevice();
  device.replace(
    "date",
    `case $1 in
  +%s) echo ${nowS} ;;
  -u) [ "$2" != -s ] || echo "$3" >>'${device.path("set")}'; exec /bin/date -u -d "$3" "$4" ;;
  *) exec /bin/date "$@" ;;
esac`,
  );
  file(device, "usr/lib/clock-epoch", BUILT_S);
  return device;
}

function file(device: Device, name: string, timeS: number): void {
  device.write(name, "");
  utimesSync(device.path(name), timeS, timeS);
}

/** What the clock was set to, s; null when it was left alone. */
async function floorOf(device: Device): Promise<number | null> {
  const { code, said } = await device.run("clock-floor");
  expect(code, said).toBe(0);
  const set = device.read("set");
  return set === null ? null : Number(set.trim().slice(1));
}

it("the clock is never behind the newest message that a gateway has stored when its power went", async () => {
  const device = deviceAt(BUILT_S);
  const dataDir = device.path("var/lib/tidegate");
  const gateway = await startGateway({ dataDir });
  const { client } = await connectDevice(gateway.ports.tcp);
  await client.publishAsync("plant/temp", "21.5", { qos: 1, retain: true });
  const api = await login(gateway.ports.http, { username: "admin", password: "public" });
  const { body } = await api("GET", "/mqtt/retainer/message/plant%2Ftemp");
  const publishedMs = Date.parse(String((body as Record<string, unknown>)["publish_at"]));
  expect(publishedMs).toBeGreaterThan(BUILT_S * 1000);
  await gateway.child.kill("SIGKILL");
  const nowMs = Date.now();
  const floorS = (await floorOf(device)) ?? 0;
  expect(floorS * 1000).toBeGreaterThanOrEqual(publishedMs);
  expect(floorS * 1000).toBeLessThanOrEqual(nowMs + 1000);
});

it("the newest log counts by its number, whatever the times of older ones are", async () => {
  const device = deviceAt(BUILT_S);
  file(device, `${STORE}/000009.log`, BUILT_S + 90 * DAY_S);
  file(device, `${STORE}/000010.log`, BUILT_S + 5 * DAY_S);
  file(device, `${STORE}/000011.ldb`, BUILT_S + 80 * DAY_S);
  file(device, `${STORE}/copy.log`, BUILT_S + 80 * DAY_S);
  file(device, `${STORE}/99999999999999999999999.log`, BUILT_S + 80 * DAY_S);
  expect(await floorOf(device)).toBe(BUILT_S + 5 * DAY_S + 1);
  // More digits than LevelDB gives its first million.
  file(device, `${STORE}/1000000.log`, BUILT_S + 6 * DAY_S);
  device.write("set", "");
  expect(await floorOf(device)).toBe(BUILT_S + 6 * DAY_S + 1);
});

it("a clock that is right, or ahead, is left alone", async () => {
  for (const aheadS of [1, 3600, 400 * DAY_S]) {
    const device = deviceAt(BUILT_S + DAY_S + aheadS);
    file(device, `${STORE}/000003.log`, BUILT_S + DAY_S);
    expect(await floorOf(device)).toBeNull();
  }
});

it("a time that cannot be is not taken, nor one that something else than a log has", async () => {
  const device = deviceAt(BUILT_S);
  file(device, `${STORE}/000003.log`, BUILT_S + 16 * 365 * DAY_S);
  expect(await floorOf(device)).toBeNull();
  expect((await device.run("clock-floor")).said).toMatch(/newest message is of 204\d-.* cannot be/);

  const linked = deviceAt(BUILT_S);
  mkdirSync(linked.path(STORE), { recursive: true });
  file(linked, "elsewhere", BUILT_S + DAY_S);
  symlinkSync(linked.path("elsewhere"), linked.path(`${STORE}/000004.log`));
  expect(await floorOf(linked)).toBeNull();
});

it("a device without a store, with an empty one or one in ruins starts all the same", async () => {
  expect(await floorOf(deviceAt(BUILT_S))).toBeNull();
  const device = deviceAt(BUILT_S);
  mkdirSync(device.path(`${STORE}/000007.log`), { recursive: true });
  device.write(`${STORE}/CURRENT`, "\0".repeat(16));
  chmodSync(device.path(`${STORE}/CURRENT`), 0o000);
  expect(readdirSync(device.path(STORE))).toContain("000007.log");
  expect(await floorOf(device)).toBeNull();
});
