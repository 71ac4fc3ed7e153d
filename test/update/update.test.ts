import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { DEFAULT_STATE } from "./boot-state.ts";
import { Device } from "./device.ts";
import { equip, makeBundle, makeKeys, startRauc } from "./rauc.ts";

/** Mounting what was installed takes root; elsewhere the name of the group says so. */
const isRoot = process.getuid?.() === 0;

/** How often an installation is killed: `npm run faults` takes the long form. */
const POINTS = process.env["FAULTS"] === "long" ? 20 : 4;

let directory = "";
let keys = "";
let bundle = "";
let device: Device;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "tidegate-update-"));
  keys = makeKeys(join(directory, "keys"));
  bundle = makeBundle(directory, keys);
}, 120_000);

afterAll(() => rmSync(directory, { recursive: true, force: true }));

const COMMITTED = { ...DEFAULT_STATE, seq: 3, left: { A: 6, B: 3 }, good: { A: 1, B: 0 } } as const;

beforeEach(() => {
  device = new Device();
  device.putState(COMMITTED);
  equip(device, keys);
});

/** What a refusal leaves: the reason in status and history, the boot choice and the slots as before. */
function expectRefused(reason: string | RegExp): void {
  expect(device.status()).toMatchObject({ state: "refused", error: expect.stringMatching(reason) });
  expect(device.history().at(-1)).toEqual(device.status());
  expect(device.state()).toEqual(COMMITTED);
  expect(device.hasRebooted).toBe(false);
  expect(readFileSync(device.path("dev/disk/by-tidegate/p3")).every((byte) => byte === 0)).toBe(
    true,
  );
}

describe("an update is refused with the reason, and nothing is changed,", () => {
  it("when it is signed by somebody else", async () => {
    const stranger = makeKeys(join(directory, "stranger"));
    const made = makeBundle(join(directory, "stranger"), keys, { signedBy: stranger });
    expect((await device.run("update", made)).code).toBe(65);
    expectRefused(/not signed by whom this device trusts: signature verification failed/);
  });

  it("when it is cut anywhere, or is no bundle at all", async () => {
    const size = readFileSync(bundle).length;
    const cut = join(directory, "cut.raucb");
    for (const bytes of [0, 1, 4096, size >> 1, size - 2000, size - 9, size - 1]) {
      copyFileSync(bundle, cut);
      truncateSync(cut, bytes);
      expect((await device.run("update", cut)).code, `${bytes} of ${size} bytes`).toBe(65);
      expectRefused("damaged");
    }
    writeFileSync(cut, "GIF89a".repeat(1000));
    expect((await device.run("update", cut)).code).toBe(65);
    expectRefused("damaged");
    expect((await device.run("update", join(directory, "nowhere.raucb"))).code).toBe(65);
    expectRefused("there is no file");
  });

  it("when it is for another board", async () => {
    const made = makeBundle(directory, keys, { version: "1.1.1", compatible: "toaster-arm64" });
    expect((await device.run("update", made)).code).toBe(65);
    expectRefused("the update is for toaster-arm64, and this is tidegate-arm64");
  });

  it("when it is older or the same, unless a downgrade is allowed", async () => {
    const older = makeBundle(directory, keys, { version: "0.9.10" });
    const same = makeBundle(directory, keys, { version: "1.0.0" });
    const early = makeBundle(directory, keys, { version: "1.0.0-rc.1" });
    for (const made of [older, same, early]) {
      expect((await device.run("update", made)).code).toBe(65);
      expectRefused("is not newer than 1.0.0");
    }
  });

  it("when a version between is needed first", async () => {
    const made = makeBundle(directory, keys, { version: "3.0.0", needs: "2.0.0" });
    expect((await device.run("update", made, "--allow-downgrade")).code).toBe(65);
    expectRefused("version 3.0.0 needs 2.0.0 or newer first, and 1.0.0 is running");
  });

  it("while the version that runs is on trial itself", async () => {
    const onTrial = { ...COMMITTED, left: { A: 2, B: 6 }, good: { A: 0, B: 1 } } as const;
    device.putState(onTrial);
    expect((await device.run("update", bundle)).code).toBe(65);
    expect(device.status()).toMatchObject({
      state: "refused",
      error: expect.stringContaining("on trial"),
    });
    expect(device.state()).toEqual(onTrial);
  });

  it("when the data partition is full", async () => {
    device.write("programs/df", "#!/bin/sh\necho head\necho /dev/x 100 99 1024 99% /data\n");
    execFileSync("chmod", ["755", device.path("programs/df")]);
    expect((await device.run("update", bundle)).code).toBe(65);
    expectRefused("1024 KB left");
  });
});

it("one at a time: a second one is told so and disturbs nothing", async () => {
  device.write("programs/rauc", '#!/bin/sh\ntouch "$TIDEGATE_ROOT/busy"\nexec sleep 30\n');
  execFileSync("chmod", ["755", device.path("programs/rauc")]);
  const first = device.start("update", bundle);
  await expect.poll(() => device.has("busy")).toBe(true);
  const second = await device.run("update", bundle);
  expect(second).toMatchObject({ code: 75, output: expect.stringContaining("under way") });
  expect(device.status()).toMatchObject({ state: "checking" });
  await first.kill("SIGKILL");
});

describe.runIf(isRoot)("an update handed over by the gateway (as root)", () => {
  const spool = "var/lib/tidegate/update";

  /** The gateway's account is not on every machine that runs tests: root stands in for it. */
  beforeEach(() => {
    device.write(
      "programs/setpriv",
      '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do case $1 in --re*) shift;; esac; shift; done\nexec "$@"\n',
    );
    device.write(
      "programs/stat",
      '#!/bin/sh\n[ "$2" = %U ] && echo tidegate && exit\nexec /usr/bin/stat "$@"\n',
    );
    for (const program of ["setpriv", "stat"]) {
      execFileSync("chmod", ["755", device.path(`programs/${program}`)]);
    }
    device.write(`${spool}/request.json`, '{"allow_downgrade":false,"reboot":true}');
  });

  it("is spent, whatever becomes of it", async () => {
    device.write(`${spool}/bundle.raucb`, "nonsense");
    expect((await device.run("update", "--spool")).code).toBe(65);
    expectRefused("damaged");
    expect(device.status()).toMatchObject({ source: "api" });
    for (const left of [
      `${spool}/request.json`,
      `${spool}/bundle.raucb`,
      "data/update/bundle.raucb",
    ]) {
      expect(device.has(left), left).toBe(false);
    }
  });

  it("that is a link to a file of somebody else, a pipe or missing is refused, and the file stays", async () => {
    const secret = join(directory, "secret");
    writeFileSync(secret, "secret");
    symlinkSync(secret, device.path(`${spool}/bundle.raucb`));
    expect((await device.run("update", "--spool")).code).toBe(65);
    expectRefused("no regular file");
    expect(readFileSync(secret, "utf8")).toBe("secret");

    device.write(`${spool}/request.json`, "{}");
    execFileSync("mkfifo", [device.path(`${spool}/bundle.raucb`)]);
    expect((await device.run("update", "--spool")).code).toBe(65);
    expectRefused("no regular file");

    device.write(`${spool}/request.json`, "{}");
    expect((await device.run("update", "--spool")).code).toBe(65);
    expectRefused("no bundle");
  });
});

describe.runIf(isRoot)("an update is installed by RAUC (as root)", () => {
  const trial = { order: "B A", left: { A: 6, B: 3 }, good: { A: 1, B: 0 } };

  it("into the other slot, looked at, and started on trial with a reboot", async () => {
    const plain = makeBundle(directory, keys, { version: "1.2.0", isPlain: true });
    await startRauc(device, "A");
    device.write("run/tidegate/probe", "http_port=8081\nhealthy_s=20\n");
    device.write(
      "run/tidegate/bridges",
      "cloud connected\nbackup waiting connected once\nold disabled\n$(reboot) connected\nplant-2 connected\n",
    );
    const { code, output } = await device.run("update", plain, "--source", "cli");
    expect(output).toContain("version 1.2.0 is installed; rebooting");
    expect(code).toBe(0);
    expect(device.state()).toMatchObject(trial);
    expect(device.hasRebooted).toBe(true);
    expect(device.status()).toMatchObject({
      state: "rebooting",
      progress: 100,
      from: "1.0.0",
      to: "1.2.0",
      source: "cli",
    });
    expect(device.read("data/update/trial")).toBe(
      "SLOT=B\nFROM=1.0.0\nTO=1.2.0\nSOURCE=cli\nHEALTHY_S=20\nBRIDGES=cloud plant-2\nACTIVE=yes\n",
    );
    expect(JSON.parse(device.read("data/update/slots.json"))).toMatchObject({
      running: "A",
      next: "B",
    });
  }, 60_000);

  it("not started when the slot holds another version than the signed one says, or no kernel", async () => {
    await startRauc(device, "A");
    const other = makeBundle(directory, keys, { version: "1.3.0", installedVersion: "0.1.0" });
    expect((await device.run("update", other)).code).toBe(1);
    expect(device.status()).toMatchObject({
      state: "failed",
      error: "the installed slot holds version 0.1.0, expected 1.3.0",
    });
    const empty = makeBundle(directory, keys, {
      version: "1.3.1",
      isPlain: true,
      hasKernel: false,
    });
    expect((await device.run("update", empty)).code).toBe(1);
    expect(device.status()).toMatchObject({
      state: "failed",
      error: "the installed slot holds no kernel",
    });
    expect(device.state()).toMatchObject({
      order: "A B",
      left: { A: 6, B: 0 },
      good: { A: 1, B: 0 },
    });
    // What was in it before is gone.
    expect(JSON.parse(device.read("data/update/slots.json"))).toMatchObject({
      next: "A",
      slots: [{ name: "A" }, { name: "B", version: null, attempts_left: 0, committed: false }],
    });
    expect(device.hasRebooted).toBe(false);
  }, 60_000);

  it("older too where a downgrade is allowed, and left to start with the next reboot where asked", async () => {
    const older = makeBundle(directory, keys, { version: "0.9.0", isPlain: true });
    await startRauc(device, "A");
    // What is no number in bounds, as from a gateway that somebody broke into, does not count.
    device.write("run/tidegate/probe", "healthy_s=0\nhealthy_s=10\n");
    expect((await device.run("update", older, "--allow-downgrade", "--no-reboot")).code).toBe(0);
    expect(device.status()).toMatchObject({ state: "installed", to: "0.9.0" });
    expect(device.read("data/update/trial")).toContain("HEALTHY_S=300\nBRIDGES=\n");
    expect(device.state()).toMatchObject(trial);
    expect(device.hasRebooted).toBe(false);
  }, 60_000);

  it("and killed at any point of it, the next boot takes the old slot or a whole new one, and says which", async () => {
    const plain = makeBundle(directory, keys, { version: "1.4.0", isPlain: true });
    await startRauc(device, "A");
    const began = performance.now();
    expect((await device.run("update", plain, "--no-reboot")).code).toBe(0);
    const wholeMs = performance.now() - began;
    const ends = new Map<unknown, number>();
    for (let point = 0; point < POINTS; point += 1) {
      device.putState(COMMITTED);
      rmSync(device.path("data/update"), { recursive: true, force: true });
      const update = device.start("update", plain);
      await new Promise((resolve) => setTimeout(resolve, (wholeMs * point) / (POINTS - 1)));
      await update.kill("SIGKILL");
      // RAUC itself is another process: its installation ends before the next begins.
      await expect
        .poll(() => execFileSync("rauc", ["status"], { env: device.env }).toString(), {
          timeout: 15_000,
        })
        .not.toContain("installing");
      const { order, left } = device.state();
      const next = order === "A B" || left.B === 0 ? "A" : "B";
      device.boot(next);
      device.unit({ ActiveState: "failed" });
      if (next === "B") {
        expect(device.read("data/update/trial")).toContain("TO=1.4.0");
      } else {
        await device.run("health-and-commit");
        expect(device.state().order).toBe("A B");
        expect(device.state().good.A).toBe(1);
      }
      const end = device.has("data/update/status.json")
        ? device.status()["state"]
        : "nothing begun";
      ends.set(end, (ends.get(end) ?? 0) + 1);
      device.boot("A");
    }
    expect(
      [...ends.keys()].every((end) =>
        ["nothing begun", "failed", "installing", "rebooting"].includes(String(end)),
      ),
    ).toBe(true);
    expect(ends.get("failed") ?? 0).toBeGreaterThan(0);
  }, 120_000);
});
