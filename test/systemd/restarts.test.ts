import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { until } from "../helpers/until.ts";
import { type Container, startContainer } from "./container.ts";

/** A machine that runs everything else too may take this long for what takes a second. */
const DEADLINE_MS = 50_000;

let container: Container;
let password = "";

beforeAll(async () => {
  container = await startContainer();
  await container.booted();
  password = (await container.run("cat", "/var/lib/tidegate/admin-password")).trim();
}, 150_000);

afterAll(() => container?.stop(), 90_000);

/** The gateway's process while it serves, else undefined. */
async function servingPid(): Promise<string | undefined> {
  const shown = await container.run("systemctl", "show", "-p", "ActiveState,MainPID", "tidegate");
  const [, pid] = /^MainPID=([1-9]\d*)$/m.exec(shown) ?? [];
  return shown.includes("ActiveState=active\n") ? pid : undefined;
}

/** Waits until another process than `before` serves; tells how long that took since `startMs`. */
async function servingAgain(what: string, before: string, startMs: number): Promise<string> {
  const pid = await until(
    `the gateway after ${what}`,
    async () => {
      const now = await servingPid();
      return now !== before && now;
    },
    DEADLINE_MS,
  );
  const seconds = (performance.now() - startMs) / 1000;
  process.stderr.write(`container: ${what} to ready ${seconds.toFixed(1)} s\n`);
  return pid;
}

/** Everything the gateway's unit logged from here on. */
async function logFrom(): Promise<() => Promise<string>> {
  const shown = await container.run("journalctl", "--lines=1", "--show-cursor", "--output=cat");
  const [, cursor = ""] = /^-- cursor: (.*)$/m.exec(shown) ?? [];
  return () =>
    container.run("journalctl", `--after-cursor=${cursor}`, "--unit=tidegate", "--output=cat");
}

const call = (body: Record<string, unknown>) =>
  container.api("/api/v1", { body: { seq: 1, ...body }, password });

/** Sends a signal to the gateway's process, as somebody with the right to do so would. */
const signal = (name: string) =>
  container.run("systemctl", "kill", "--kill-whom=main", `--signal=${name}`, "tidegate.service");

/** Settings of a unit for one test only. */
async function override(unit: string, settings: string): Promise<void> {
  const folder = `/run/systemd/system/${unit}.d`;
  await container.shell(`mkdir -p ${folder}; printf '${settings}' >${folder}/test.conf`);
  await container.run("systemctl", "daemon-reload");
}

let before = "";

beforeEach(async ({ onTestFailed }) => {
  onTestFailed(async () => {
    process.stderr.write(await container.run("journalctl", "--lines=60", "--no-pager"));
  });
  before = await until("a gateway that serves", servingPid, DEADLINE_MS);
}, 2 * DEADLINE_MS);

describe("without any privilege", () => {
  it("request 12 is in force in a new process", { timeout: 2 * DEADLINE_MS }, async () => {
    const startMs = performance.now();
    const answer = await call({ req: 12, data: { msq_len: 77 } });
    expect(answer).toMatchObject({ status: 200, body: { code: 0, rep: 12 } });
    await servingAgain("request 12", before, startMs);
    const shown = await call({ req: 11 });
    expect(shown.body).toMatchObject({ data: { msq_len: 77 } });
    expect(await container.property("tidegate.service", "Result")).toBe("success");
  });

  it("request 10 restarts, at once", { timeout: 2 * DEADLINE_MS }, async () => {
    const log = await logFrom();
    const startMs = performance.now();
    const answer = await call({ req: 10, action: "restart" });
    expect(answer).toMatchObject({ status: 200, body: { code: 0, rep: 10 } });
    await servingAgain("request 10", before, startMs);
    expect(await log()).toContain('"code":75,"msg":"stopped"');
  });

  it("request 10 stops for good", { timeout: 2 * DEADLINE_MS }, async () => {
    await call({ req: 10, action: "stop" });
    await until(
      "the end of the gateway",
      async () => (await container.property("tidegate.service", "ActiveState")) === "inactive",
      DEADLINE_MS,
    );
    expect(await container.property("tidegate.service", "Result")).toBe("success");
    await container.run("systemctl", "start", "tidegate.service");
  });
});

describe("a gateway that is killed", () => {
  it("is started again", { timeout: 2 * DEADLINE_MS }, async () => {
    const startMs = performance.now();
    await signal("SIGKILL");
    await servingAgain("kill -9", before, startMs);
    expect((await call({ req: 2 })).body).toMatchObject({ code: 0 });
  });

  it("waits longer from crash to crash, until it serves", {
    timeout: 2 * DEADLINE_MS,
  }, async () => {
    expect(await container.property("tidegate.service", "RestartUSec")).toBe("250ms");
    expect(await container.property("tidegate.service", "RestartMaxDelayUSec")).toBe("30s");
    expect(await container.property("tidegate.service", "RestartSteps")).toBe("6");
    // The crash before this one is forgotten.
    expect(await container.property("tidegate.service", "NRestarts")).toBe("0");
  });

  it("is never given up, nor is the device", async () => {
    expect(await container.property("tidegate.service", "StartLimitIntervalUSec")).toBe("0");
    for (const action of ["StartLimitAction", "FailureAction", "SuccessAction"]) {
      expect(await container.property("tidegate.service", action)).toBe("none");
    }
  });
});

describe("a configuration that does not come up", () => {
  it("is taken back by itself", { timeout: 3 * DEADLINE_MS }, async () => {
    const { body } = await call({ req: 11 });
    const good = (body as { data: Record<string, unknown> }).data;
    await container.shell(
      "printf '[Socket]\\nListenStream=127.0.0.1:1999\\n' >/run/systemd/system/thief.socket; " +
        "printf '[Service]\\nExecStart=true\\n' >/run/systemd/system/thief.service; " +
        "systemctl daemon-reload",
    );
    const log = await logFrom();
    const startMs = performance.now();
    const answer = await call({ req: 12, data: { url: "nmq-tcp://127.0.0.1:1999" } });
    expect(answer.body).toMatchObject({ code: 0 });
    // The port was free when it was checked; somebody takes it before the restart.
    await container.run("systemctl", "start", "thief.socket");
    const takenBack = async () => (await log()).includes("configuration taken back");
    await until("the configuration before", takenBack, DEADLINE_MS);
    await servingAgain("a wrong configuration, taken back,", before, startMs);
    await container.run("systemctl", "stop", "thief.socket");
    expect((await call({ req: 11 })).body).toMatchObject({ data: good });
  });
});

describe("an unusable configuration of the operator's", () => {
  it("stops the gateway for good, and leaves the device", {
    timeout: 2 * DEADLINE_MS,
  }, async () => {
    const file = "/etc/tidegate/tidegate.yaml";
    await container.shell(`echo 'mqtt: {no_such_key: 1}' >${file}`);
    const log = await logFrom();
    await container.attempt("systemctl", "restart", "tidegate.service");
    expect(await container.property("tidegate.service", "ActiveState")).toBe("failed");
    expect(await container.property("tidegate.service", "ExecMainStatus")).toBe("78");
    expect(await container.property("tidegate.service", "NRestarts")).toBe("0");
    expect(await log()).toContain("no_such_key");
    for (const unit of ["avahi-daemon", "systemd-networkd", "tidegate-update.path"]) {
      expect((await container.run("systemctl", "is-active", unit)).trim()).toBe("active");
    }
    await container.run("rm", file);
    await container.run("systemctl", "start", "tidegate.service");
    expect(await servingPid()).toBeDefined();
  });
});

describe("a gateway that hangs", () => {
  it("is ended by the watchdog and started again", { timeout: 2 * DEADLINE_MS }, async () => {
    expect(await container.property("tidegate.service", "WatchdogUSec")).toBe("30s");
    // The same in a tenth of the time.
    await override("tidegate.service", "[Service]\\nWatchdogSec=4s\\n");
    await container.run("systemctl", "restart", "tidegate.service");
    const pid = await until("a gateway that serves", servingPid, DEADLINE_MS);
    const log = await logFrom();
    const startMs = performance.now();
    await signal("SIGSTOP");
    await servingAgain("a hang (watchdog of 4 s)", pid, startMs);
    expect(await log()).toMatch(/Watchdog timeout \(limit 4s\)/);
  });
});
