import { networkInterfaces } from "node:os";
import { describe, expect, it } from "vitest";
import { makeCertificates } from "../helpers/certificates.ts";
import { startGateway, TEST_CONFIG } from "../helpers/gateway-process.ts";
import { DEFAULT_STATE } from "./boot-state.ts";
import { Device } from "./device.ts";

const good = { A: 1, B: 1 } as const;
/** An update from slot A to slot B, started for the first time. */
const TRIAL = {
  ...DEFAULT_STATE,
  seq: 9,
  order: "B A",
  left: { A: 6, B: 2 },
  good: { A: 1, B: 0 },
} as const;
/** What a slot that proved itself before is left alone with. */
const FAILED = { ActiveState: "failed", Result: "exit-code", ExecMainStatus: "78" } as const;
const TRIAL_FILE = "SLOT=B\nFROM=1.0.0\nTO=1.1.0\nSOURCE=api\nHEALTHY_S=1\nBRIDGES=\nACTIVE=yes\n";

/** Of IPv6, which is written otherwise, where this machine has it. */
const LOOPBACK = Object.values(networkInterfaces())
  .flat()
  .some((it) => it?.address === "::1")
  ? '"::1"'
  : "127.0.0.1";

function onTrial(): Device {
  const device = new Device("1.1.0");
  device.boot("B");
  device.putState(TRIAL);
  device.write("data/update/trial", TRIAL_FILE);
  return device;
}

async function withGateway(device: Device, config = TEST_CONFIG) {
  const runtime = device.path("run/tidegate");
  return startGateway({ config, env: { RUNTIME_DIRECTORY: runtime } });
}

describe("a healthy gateway", () => {
  it("commits the slot on trial: it goes through HTTP, the API and MQTT with no password of anybody's", async () => {
    const device = onTrial();
    const closed = TEST_CONFIG.replace("allow_anonymous: true", "allow_anonymous: false");
    await withGateway(device, `${closed}acl: {no_match: deny}\n`);
    const { code, output } = await device.run("health-and-commit");
    expect(output).toContain("version 1.1.0 in slot B is healthy");
    expect(code).toBe(0);
    expect(device.state()).toMatchObject({ order: "B A", left: { A: 6, B: 6 }, good });
    expect(device.hasRebooted).toBe(false);
    const succeeded = {
      state: "succeeded",
      from: "1.0.0",
      to: "1.1.0",
      source: "api",
      error: null,
    };
    expect(device.status()).toMatchObject(succeeded);
    expect(device.history()).toMatchObject([succeeded]);
    expect(device.has("data/update/trial")).toBe(false);
    expect(JSON.parse(device.read("data/update/slots.json"))).toEqual({
      running: "B",
      next: "B",
      slots: [
        { name: "A", version: null, attempts_left: 6, committed: true },
        { name: "B", version: "1.1.0", attempts_left: 6, committed: true },
      ],
    });

    // The next boot has used up an attempt, and gives it back; the history stays as it is.
    device.putState({ ...device.state(), left: { A: 6, B: 5 } });
    expect((await device.run("health-and-commit")).code).toBe(0);
    expect(device.state().left).toEqual({ A: 6, B: 6 });
    expect(device.history()).toHaveLength(1);

    // Whoever answers over HTTP, but lets no message through, is not healthy.
    const other = onTrial();
    const probe = device.read("run/tidegate/probe");
    other.write("run/tidegate/probe", probe.replace(/^password=.*$/m, "password=wrong"));
    const failed = await other.run("health-and-commit");
    expect(failed.output).toContain("over MQTT");
    expect(failed.code).toBe(1);
    expect(other.hasRebooted).toBe(true);
  }, 60_000);
});

describe("a gateway with few doors", () => {
  const tls = () => {
    const { keyFile, certFile } = makeCertificates().server;
    return `tls: {key_file: ${keyFile}, cert_file: ${certFile}}\n`;
  };
  const off = "listeners: {tcp: {enable: false}, ws: {enable: false}";

  it.each<[string, () => string]>([
    [
      "that speak TLS only",
      () =>
        `${off}, tls: {enable: true, bind: 127.0.0.1, port: 0}}\nhttp: {enable: false, password: public}\n` +
        `https: {enable: true, bind: ${LOOPBACK}, port: 0}\n${tls()}`,
    ],
    ["and no API", () => TEST_CONFIG.replace("http: {", "http: {enable: false, ")],
  ])(
    "%s is committed, too",
    async (_, config) => {
      const device = onTrial();
      await withGateway(device, config());
      const { code, output } = await device.run("health-and-commit");
      expect(output).toContain("version 1.1.0 in slot B is healthy");
      expect(code).toBe(0);
      expect(device.state()).toMatchObject({ left: { A: 6, B: 6 }, good });
    },
    60_000,
  );

  it("whose one for HTTPS does not answer is not", async () => {
    const device = onTrial();
    await withGateway(device);
    const probe = device.read("run/tidegate/probe");
    // Plain HTTP, where TLS is asked for.
    device.write("run/tidegate/probe", probe.replace("http_tls=no", "http_tls=yes"));
    const { code, output } = await device.run("health-and-commit");
    expect(output).toContain("GET /status is answered with ''");
    expect(code).toBe(1);
  }, 60_000);
});

describe("a gateway that is not healthy", () => {
  const reason =
    /^the gateway does not start: 3 starts failed \(exit-code, exit code 70\); last log lines: Error: "plant" \\ exploded$/;

  it("on trial goes back: the reason is kept, the slot refused, and the slot before tells why", async () => {
    const device = onTrial();
    const failing = { ActiveState: "activating", SubState: "auto-restart", Result: "exit-code" };
    device.unit({ ...failing, NRestarts: "3", ExecMainStatus: "70" });
    expect((await device.run("health-and-commit")).code).toBe(1);
    expect(device.hasRebooted).toBe(true);
    expect(device.state()).toMatchObject({ left: { A: 6, B: 0 }, good: { A: 1, B: 0 } });

    device.boot("A");
    device.write("usr/lib/tidegate-release", "VERSION=1.0.0\n");
    device.unit(FAILED);
    await device.run("health-and-commit");
    expect(device.state()).toMatchObject({ order: "A B", left: { A: 6, B: 0 } });
    const told = {
      state: "fell_back",
      from: "1.0.0",
      to: "1.1.0",
      error: expect.stringMatching(reason),
    };
    expect(device.status()).toMatchObject(told);
    expect(device.history()).toMatchObject([told]);
    expect(device.read("data/update/fell-back")).toBe("1.1.0\n");
    expect(device.hasRebooted).toBe(false);

    // The next boot tells nothing twice.
    await device.run("health-and-commit");
    expect(device.history()).toHaveLength(1);
  });

  it("which never came up as far as this is told by the slot before, without a reason of its own", async () => {
    const device = new Device();
    device.putState({ ...TRIAL, left: { A: 5, B: 0 } });
    device.write("data/update/trial", TRIAL_FILE);
    device.unit(FAILED);
    await device.run("health-and-commit");
    expect(device.status()).toMatchObject({
      state: "fell_back",
      to: "1.1.0",
      error: expect.stringContaining("did not start"),
    });
  });

  it("in a proved slot is never rebooted", async () => {
    const device = new Device();
    device.putState({ ...DEFAULT_STATE, seq: 3, left: { A: 5, B: 6 }, good });
    device.unit(FAILED);
    expect((await device.run("health-and-commit")).code).toBe(1);
    expect(device.hasRebooted).toBe(false);
    expect(device.state()).toMatchObject({ left: { A: 5, B: 6 }, good });
  });

  it("without another slot that was ever good stays up, on trial or not", async () => {
    const device = onTrial();
    // U-Boot has started over: neither slot is known to be good.
    device.putState({ ...DEFAULT_STATE, seq: 12, order: "B A", left: { A: 3, B: 2 } });
    device.unit(FAILED);
    expect((await device.run("health-and-commit")).code).toBe(1);
    expect(device.hasRebooted).toBe(false);
    expect(device.status()).toMatchObject({ state: "failed", to: "1.1.0" });
  });

  it("a proved slot that stopped starting is named by the other one", async () => {
    const device = new Device();
    device.putState({ ...DEFAULT_STATE, seq: 3, order: "B A", left: { A: 5, B: 0 }, good });
    device.write("data/update/versions", "B=1.2.0\n");
    device.unit(FAILED);
    await device.run("health-and-commit");
    expect(device.status()).toMatchObject({
      state: "fell_back",
      error: expect.stringContaining("slot B"),
    });
    expect(device.state().order).toBe("A B");
  });
});

it("an update that power has cut short is told as failed at the next boot, and its bundle is gone", async () => {
  const device = new Device();
  device.putState({ ...DEFAULT_STATE, seq: 3, left: { A: 5, B: 0 }, good: { A: 1, B: 0 } });
  device.write(
    "data/update/status.json",
    '{"state":"installing","progress":40,"from":"1.0.0","to":"1.1.0","source":"api","error":null,"at":"2026-01-01T00:00:00Z"}\n',
  );
  device.write("data/update/bundle.raucb", "half");
  device.unit(FAILED);
  await device.run("health-and-commit");
  expect(device.status()).toMatchObject({
    state: "failed",
    from: "1.0.0",
    to: "1.1.0",
    source: "api",
  });
  expect(device.has("data/update/bundle.raucb")).toBe(false);
});

it("the history keeps the newest twenty", async () => {
  const device = onTrial();
  const old = Array.from({ length: 25 }, (_, at) => `{"state":"failed","to":"0.${at}.0"}\n`);
  device.write("data/update/history.jsonl", old.join(""));
  device.putState({ ...TRIAL, good: { A: 0, B: 0 } });
  device.unit(FAILED);
  await device.run("health-and-commit");
  const history = device.history();
  expect(history).toHaveLength(20);
  expect(history.at(-1)).toMatchObject({ state: "failed", to: "1.1.0" });
});
