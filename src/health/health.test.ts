import { execFileSync, spawn } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../log/index.ts";
import { ManualClock } from "../time/index.ts";
import { createHealth, type Health, notifyDescriptor, watchdogUs } from "./index.ts";

/** Lets everything that waits on a promise that is already decided go on. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

let directory = "";
let pipeFd = 0;
let lines: string[] = [];
let clock = new ManualClock();
const log = createLog({ level: "debug" }, { write: (line) => void lines.push(line) });

beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), "tidegate-health-"));
  const pipe = path.join(directory, "notify");
  execFileSync("mkfifo", [pipe]);
  pipeFd = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
  lines = [];
  clock = new ManualClock();
});

afterEach(() => {
  closeSync(pipeFd);
  rmSync(directory, { recursive: true });
});

/** What the service manager was told since it was last asked. */
function told(): string {
  const buffer = Buffer.alloc(4096);
  try {
    return buffer.toString("utf8", 0, readSync(pipeFd, buffer));
  } catch {
    return "";
  }
}

/** A health part with a watchdog of 40 s: fed every 20 s, the check may take 10 s. */
function watched(selfCheck: () => Promise<void>): Health {
  return createHealth({ log, clock, notifyFd: pipeFd, watchdogUs: 40_000_000, selfCheck });
}

async function pass(ms: number): Promise<void> {
  clock.advance(ms);
  await settle();
}

describe("the service manager", () => {
  it("is told when the gateway is ready, with a status, and when it stops", () => {
    const health = watched(() => Promise.resolve());
    expect(health.status().isReady).toBe(false);
    health.ready("MQTT on 1883, HTTP on 8081");
    expect(told()).toBe("READY=1\nSTATUS=MQTT on 1883, HTTP on 8081");
    expect(health.status().isReady).toBe(true);
    health.stopping();
    expect(told()).toBe("STOPPING=1\nSTATUS=stopping");
    expect(health.status().isReady).toBe(false);
  });

  it("reads one status line, whatever the text holds", () => {
    watched(() => Promise.resolve()).ready("a\nMAINPID=1\r\nb");
    expect(told()).toBe("READY=1\nSTATUS=a MAINPID=1 b");
  });

  it("may be missing: nothing is written and nothing is checked", async () => {
    let checks = 0;
    const selfCheck = async () => void checks++;
    const health = createHealth({ log, clock, notifyFd: null, watchdogUs: null, selfCheck });
    await health.start();
    health.ready("ready");
    await pass(3_600_000);
    health.stopping();
    await health.stop();
    expect(checks).toBe(0);
    expect(told()).toBe("");
  });

  it("whose descriptor is broken is given up with one line in the log", async () => {
    const notifyFd = openSync(directory, constants.O_RDONLY);
    const health = createHealth({
      log,
      clock,
      notifyFd,
      watchdogUs: 40_000_000,
      selfCheck: () => Promise.resolve(),
    });
    await health.start();
    health.ready("ready");
    await pass(60_000);
    health.stopping();
    closeSync(notifyFd);
    expect(lines.filter((line) => line.includes("cannot be told"))).toHaveLength(1);
  });
});

describe("the watchdog", () => {
  it("is fed every half of its time after a check that passed", async () => {
    const health = watched(() => Promise.resolve());
    await health.start();
    await pass(0);
    expect(told()).toBe("WATCHDOG=1");
    await pass(19_999);
    expect(told()).toBe("");
    await pass(1);
    expect(told()).toBe("WATCHDOG=1");
    expect(health.status().lastCheck).toMatchObject({ isPassed: true, reason: null });
  });

  it("is not fed while the check fails, which is logged once and tried every eighth", async () => {
    let fault: string | null = "the broker does not route";
    let checks = 0;
    const health = watched(async () => {
      checks += 1;
      if (fault !== null) throw new Error(fault);
    });
    await health.start();
    health.ready("serving");
    told();
    for (let eighth = 0; eighth <= 4; eighth++) await pass(eighth === 0 ? 0 : 5000);
    expect(checks).toBe(5);
    expect(told()).toBe("STATUS=self-check failed: the broker does not route");
    expect(lines.filter((line) => line.includes("self-check failed"))).toHaveLength(1);
    expect(health.status().lastCheck).toMatchObject({ isPassed: false, reason: fault });
    fault = null;
    await pass(5000);
    expect(told()).toBe("STATUS=servingWATCHDOG=1");
    expect(lines.at(-1)).toContain("passes again");
  });

  it("is not fed by a check that does not end within a quarter of its time", async () => {
    const answer = Promise.withResolvers<void>();
    const health = watched(() => answer.promise);
    await health.start();
    await pass(9999);
    expect(health.status().lastCheck).toBeNull();
    await pass(1);
    await pass(0);
    expect(told()).not.toContain("WATCHDOG=1");
    expect(health.status().lastCheck?.reason).toBe("no answer in 10000 ms");
    answer.resolve();
    await pass(10_000);
    await pass(0);
    expect(told()).toContain("WATCHDOG=1");
  });

  it("is not fed by a check that throws at once", async () => {
    const health = watched(() => {
      throw new Error("no store");
    });
    await health.start();
    await pass(0);
    expect(health.status().lastCheck?.reason).toBe("no store");
  });

  it("is fed in time by a slow check: its length does not add up", async () => {
    const health = watched(() => new Promise((resolve) => clock.after(8000, resolve)));
    await health.start();
    await pass(0);
    await pass(8000);
    expect(told()).toBe("WATCHDOG=1");
    await pass(12_000);
    await pass(8000);
    expect(told()).toBe("WATCHDOG=1");
  });

  it("is left alone once the gateway stops, also by a check on its way", async () => {
    const answer = Promise.withResolvers<void>();
    const health = watched(() => answer.promise);
    await health.start();
    await pass(0);
    health.stopping();
    told();
    answer.resolve();
    await pass(100_000);
    await health.stop();
    await health.stop();
    expect(told()).toBe("");
  });

  it("of an aborted start is not fed", async () => {
    const health = watched(() => Promise.resolve());
    await expect(health.start(AbortSignal.abort())).rejects.toThrow();
    await pass(60_000);
    expect(told()).toBe("");
  });
});

describe("the environment of the service manager", () => {
  const passed = { LISTEN_PID: "42", LISTEN_FDS: "2", LISTEN_FDNAMES: "other:sdnotify" };

  it("names the descriptor by its place", () => {
    expect(notifyDescriptor(passed, 42)).toBe(4);
    expect(notifyDescriptor({ ...passed, LISTEN_FDNAMES: "sdnotify" }, 42)).toBe(3);
  });

  it.each([
    ["that was meant for another process", { ...passed, LISTEN_PID: "41" }],
    ["without the name", { ...passed, LISTEN_FDNAMES: "stored:other" }],
    ["that names more than it passes", { ...passed, LISTEN_FDS: "1" }],
    ["with nonsense", { ...passed, LISTEN_FDS: "2x" }],
    ["that is empty", {}],
  ])("%s passes no descriptor", (_, env) => {
    expect(notifyDescriptor(env, 42)).toBeNull();
  });

  it("holds the watchdog's time for the process it names, or for any", () => {
    expect(watchdogUs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "42" }, 42)).toBe(30_000_000);
    expect(watchdogUs({ WATCHDOG_USEC: "30000000" }, 42)).toBe(30_000_000);
    expect(watchdogUs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "41" }, 42)).toBeNull();
    expect(watchdogUs({ WATCHDOG_USEC: "0" }, 42)).toBeNull();
    expect(watchdogUs({}, 42)).toBeNull();
  });
});

it("each message is one datagram on a unix datagram socket, as systemd passes it", async () => {
  const child = fileURLToPath(new URL("notify-child.testing.ts", import.meta.url));
  // socat makes a pair of datagram sockets, gives one to the child as descriptor 3, and with -x
  // prints a heading line per datagram that comes out of the other.
  const socat = spawn("socat", [
    "-u",
    "-x",
    `EXEC:"${process.execPath} ${child}",fdout=3,socktype=${SOCK_DGRAM}`,
    "OPEN:/dev/null",
  ]);
  let dump = "";
  socat.stderr.setEncoding("utf8").on("data", (text: string) => {
    dump += text;
  });
  await new Promise((resolve) => socat.once("close", resolve));
  const datagrams = dump
    .split(/^>.*\n/m)
    .slice(1)
    .map((hex) => Buffer.from(hex.replaceAll(/\s|--/g, ""), "hex").toString());
  expect(datagrams).toEqual([
    "READY=1\nSTATUS=serving",
    "WATCHDOG=1",
    "STOPPING=1\nSTATUS=stopping",
  ]);
});

const SOCK_DGRAM = 2;
