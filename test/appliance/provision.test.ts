import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { checkFile, loadConfig } from "../../src/config/index.ts";
import { IS_LONG } from "../faults/fault-test.ts";
import { type Device, newDevice } from "./device.ts";
import {
  GOOD,
  PROVISIONING_FILES,
  type ProvisioningFile,
  SERIAL_IN_FORCE,
} from "./provisioning-files.ts";

const OPERATOR = "etc/tidegate/tidegate.yaml";
const LAST_GOOD = `# last good\nprovisioning: { serial: ${SERIAL_IN_FORCE} }\nmsq_len: 5\n`;

/** A device with a good configuration in force, and `content` on its boot partition. */
function deviceWith(content: string | Buffer | null, { mounted = false } = {}): Device {
  const device = newDevice({ mounted });
  device.write(OPERATOR, LAST_GOOD);
  if (content !== null) drop(device, content);
  return device;
}

function drop(device: Device, content: string | Buffer, name = "tidegate.yaml"): void {
  device.onCard((card) => writeFileSync(join(card, name), content));
}

function onCard(device: Device, name: string): string | null {
  return device.onCard((card) =>
    existsSync(join(card, name)) ? readFileSync(join(card, name), "utf8") : null,
  );
}

const resultOf = (device: Device) => onCard(device, "tidegate-result.txt") ?? "";

/** What the gateway makes of the files as they are: it starts with them. */
function configOf(device: Device) {
  expect(checkFile(device.path(OPERATOR))).toEqual([]);
  const dataDir = device.path("var/lib/tidegate");
  return loadConfig({ configFile: device.path(OPERATOR), dataDir, env: {} }).config;
}

function expectOutcome(device: Device, file: ProvisioningFile): void {
  const result = resultOf(device);
  const isApplied = result.includes("tidegate.yaml: applied, and removed");
  expect(result).toMatch(/^Tidegate 1\.2\.3, \d{4}-\d\d-\d\d /);
  expect(result.replaceAll("\r\n", "")).not.toMatch(/[\r\n]/);
  if (file.verdict !== "either")
    expect([isApplied, result]).toEqual([file.verdict === "applied", result]);
  if (file.says !== undefined) expect(result).toContain(file.says);
  expect(result).not.toMatch(/(?:panel|press|oven|cloud)-secret/);
  const config = configOf(device);
  if (isApplied) {
    expect(onCard(device, "tidegate.yaml")).toBeNull();
    expect(device.read(OPERATOR)).not.toMatch(/(?:panel|press|oven)-secret/);
    expect(device.read(`${OPERATOR}.previous`)).toBe(LAST_GOOD);
  } else {
    expect(onCard(device, "tidegate.yaml")).not.toBeNull();
    expect(device.read(OPERATOR)).toBe(LAST_GOOD);
    expect(config.msq_len).toBe(5);
  }
  expect(readdirSync(device.path("run"))).toEqual([]);
}

describe("a file on the boot partition (F19)", () => {
  test("there are more than a hundred kinds", () => {
    expect(PROVISIONING_FILES.length).toBeGreaterThan(100);
  });

  // Everything from time to time, and a part of it, with one of each kind, every time: each of them
  // starts Node. `provisioning-files.test.ts` reads all of them every time.
  const kinds = new Set([
    ...["a good file", "byte order mark and CRLF", "one byte over 1 MiB", "10 MB", "noise 1"],
    ...["1 MiB of NUL", "UTF-16", "msq_len: many", "provisioning: {serial: 4}", "NUL at 111"],
    ...["an empty file", "aliases that multiply", "cut after 160 bytes"],
  ]);
  const files = PROVISIONING_FILES.filter(({ name }) => IS_LONG || kinds.has(name));

  test.each(files)(
    "$name is $verdict, and the device starts with what it says then",
    async (file) => {
      const device = deviceWith(file.content, { mounted: true });
      await device.run("provision");
      expectOutcome(device, file);
    },
    60_000,
  );

  test("is told beside it with every key, its value and what was expected", async () => {
    const device = deviceWith("msq_len: many\nhttp: {port: 99999}\n");
    expect(await device.run("provision")).toMatchObject({ code: 1 });
    const result = resultOf(device);
    expect(result).toContain("left on the card. The configuration before stays in force.\r\n");
    expect(result).toContain(
      "msq_len: many is not valid in tidegate.yaml; expected a whole number",
    );
    expect(result).toContain(
      "http.port: 99999 is not valid in tidegate.yaml; expected a whole number",
    );
  });

  test("is not there most of the time: nothing is written then", async () => {
    const device = deviceWith(null, { mounted: true });
    expect(await device.run("provision")).toEqual({ code: 0, said: "" });
    expect(device.onCard((card) => readdirSync(card))).toEqual([]);
  });

  test("may be the first one, on a device that has no configuration", async () => {
    const device = newDevice();
    drop(device, GOOD);
    expect(await device.run("provision")).toMatchObject({ code: 0 });
    expect(configOf(device).msq_len).toBe(4096);
    expect(statSync(device.path(OPERATOR)).mode & 0o777).toBe(0o640);
    expect(existsSync(device.path(`${OPERATOR}.previous`))).toBe(false);
  });

  test("that is a folder is refused", async () => {
    const device = deviceWith(null);
    mkdirSync(device.path("boot/firmware/tidegate.yaml"));
    await device.run("provision");
    expect(resultOf(device)).toContain("tidegate.yaml: refused: it is not a file.");
    expect(device.read(OPERATOR)).toBe(LAST_GOOD);
  });

  test("is read by the gateway's user, who gets no privilege", async () => {
    const device = deviceWith(GOOD);
    device.replace("setpriv", `echo "$@" >${device.path("called")}; exit 1`);
    await device.run("provision");
    expect(device.read("called")).toMatch(
      /^--reuid tidegate --regid tidegate --clear-groups --no-new-privs --inh-caps=-all /,
    );
    expect(resultOf(device)).toContain(
      "could not be checked, and is tried again at the next start",
    );
    expect(device.read(OPERATOR)).toBe(LAST_GOOD);
  });

  test("is overwritten before it goes, so that deleting is more than taking away a name", async () => {
    const device = deviceWith(GOOD, { mounted: true });
    device.replace(
      "rm",
      `for a; do case $a in */firmware/tidegate.yaml.erased) cp "$a" ${device.path("gone")};; esac; done; exec /bin/rm "$@"`,
    );
    await device.run("provision");
    expect(device.read("gone")).toMatch(/^\0+$/);
  });
});

describe("starts after that", () => {
  /** Stands in for Node where only what the shell program does matters. */
  function quick(device: Device, script: string): void {
    device.write("usr/bin/tidegate", `#!/bin/sh\necho x >>${device.path("starts")}\n${script}\n`);
  }
  const starts = (device: Device) => device.read("starts")?.split("\n").length ?? 1;

  test("do not look again at what was refused, until it or the version changes", async () => {
    const device = deviceWith("bad");
    quick(device, "echo wrong >&2; exit 78");
    await device.run("provision");
    const result = resultOf(device);
    expect(await device.run("provision")).toMatchObject({ code: 0 });
    expect([starts(device), resultOf(device)]).toEqual([2, result]);
    drop(device, "other");
    await device.run("provision");
    device.write("usr/lib/tidegate-release", "VERSION=1.2.4\n");
    await device.run("provision");
    expect(starts(device)).toBe(4);
    device.onCard((card) => rmSync(join(card, "tidegate-result.txt")));
    await device.run("provision");
    expect(starts(device)).toBe(5);
  });

  test("do not apply again what could not be taken off the card", async () => {
    const device = deviceWith("msq_len: 6\n");
    quick(device, 'cat "$2"');
    device.replace("mount", "exit 32");
    expect(await device.run("provision")).toMatchObject({ code: 1 });
    expect(device.read(OPERATOR)).toBe("msq_len: 6\n");
    device.write(OPERATOR, "msq_len: 7\n");
    await device.run("provision");
    expect([starts(device), device.read(OPERATOR)]).toEqual([2, "msq_len: 7\n"]);
    device.replace("mount", ":");
    await device.run("provision");
    expect(onCard(device, "tidegate.yaml")).toBeNull();
    expect(resultOf(device)).toContain("applied already");
    drop(device, "msq_len: 6\n");
    await device.run("provision");
    expect(device.read(OPERATOR)).toBe("msq_len: 6\n");
  });

  test.each([
    ["ends in an error", "exit 70"],
    ["dies", "kill -9 $$"],
    ["says nothing and fails", "exit 1"],
  ])("try again when the check %s", async (_, script) => {
    const device = deviceWith("msq_len: 6\n");
    quick(device, script);
    expect(await device.run("provision")).toMatchObject({ code: 1 });
    expect(device.read(OPERATOR)).toBe(LAST_GOOD);
    quick(device, 'cat "$2"');
    expect(await device.run("provision")).toMatchObject({ code: 0 });
    expect(device.read(OPERATOR)).toBe("msq_len: 6\n");
  });

  test(
    "finish what a power cut interrupted, wherever that was",
    async () => {
      const commands = [
        "cat",
        "chmod",
        "chgrp",
        "sync",
        "mv",
        "mkdir",
        "rm",
        "mount",
        "head",
        "dd",
        "cmp",
      ];
      let cuts = 0;
      for (let nth = 1; ; nth += IS_LONG ? 1 : 4) {
        const device = deviceWith("msq_len: 6\n");
        quick(device, '/bin/cat "$2"');
        const stub = { chgrp: ":", mount: ":" };
        device.cutPower(commands, nth, stub);
        const { code } = await device.run("provision");
        device.restore(commands);
        for (const [program, script] of Object.entries(stub)) device.replace(program, script);
        expect([LAST_GOOD, "msq_len: 6\n"]).toContain(device.read(OPERATOR));
        if (code === 0) break;
        expect(code).toBe("SIGKILL");
        cuts += 1;
        rmSync(device.path("run"), { recursive: true });
        mkdirSync(device.path("run"));
        await device.run("provision");
        expect([nth, device.read(OPERATOR)]).toEqual([nth, "msq_len: 6\n"]);
        expect([nth, onCard(device, "tidegate.yaml")]).toEqual([nth, null]);
      }
      expect(cuts).toBeGreaterThan(IS_LONG ? 20 : 5);
    },
    IS_LONG ? 400_000 : 90_000,
  );
});

describe("a backup on the boot partition", () => {
  const BACKUP = "tidegate-backup.tar.gz";
  const WAITING = "var/lib/tidegate/restore.tar.gz";

  test("is given to the gateway as it is, and taken off the card", async () => {
    const device = deviceWith(null, { mounted: true });
    drop(device, Buffer.from([0x1f, 0x8b, 0, 1, 2, 10, 13]), BACKUP);
    expect(await device.run("provision")).toMatchObject({ code: 0 });
    expect([...readFileSync(device.path(WAITING))]).toEqual([0x1f, 0x8b, 0, 1, 2, 10, 13]);
    expect(onCard(device, BACKUP)).toBeNull();
    expect(resultOf(device)).toContain("tidegate-backup.tar.gz: given to the gateway");
  });

  test("that is too large stays on the card", async () => {
    const device = deviceWith(null);
    drop(device, Buffer.alloc(16 * 1024 * 1024 + 1), BACKUP);
    expect(await device.run("provision")).toMatchObject({ code: 1 });
    expect(existsSync(device.path(WAITING))).toBe(false);
    expect(resultOf(device)).toContain("it has 16777217 bytes, expected at most 16777216");
  });
});

describe("a wireless network on the boot partition", () => {
  const CONF = "wpa_supplicant.conf";
  const INSTALLED = "etc/wpa_supplicant/wpa_supplicant-wlan0.conf";
  const NETWORK = 'country=CH\nnetwork={\n  ssid="plant"\n  psk="wireless-secret"\n}\n';

  test("is installed for wlan0, readable by root only, and taken off the card", async () => {
    const device = deviceWith(null, { mounted: true });
    drop(device, `\ufeff${NETWORK.replaceAll("\n", "\r\n")}`, CONF);
    expect(await device.run("provision")).toMatchObject({ code: 0 });
    expect(device.read(INSTALLED)).toBe(NETWORK);
    expect(statSync(device.path(INSTALLED)).mode & 0o777).toBe(0o600);
    expect(onCard(device, CONF)).toBeNull();
    expect(resultOf(device)).toContain("wpa_supplicant.conf: applied, and removed");
    expect(resultOf(device)).not.toContain("wireless-secret");
  });

  test.each([
    ["what is none", "hello\n", "it holds no network={"],
    ["NUL", `${NETWORK}\0`, "it holds NUL bytes"],
    [
      "a module to load",
      `pkcs11_module_path=/boot/firmware/x.so\n${NETWORK}`,
      "pkcs11_module_path",
    ],
    ["an engine in a network", NETWORK.replace("}", "  engine_id=x\n}"), "engine_id"],
    ["64 KiB and more", NETWORK.padEnd(65_537, "#"), "expected at most 65536"],
  ])("that holds %s is refused, and the one before stays", async (_, content, says) => {
    const device = deviceWith(null);
    device.write(INSTALLED, NETWORK);
    drop(device, content, CONF);
    expect(await device.run("provision")).toMatchObject({ code: 1 });
    expect(device.read(INSTALLED)).toBe(NETWORK);
    expect(resultOf(device)).toContain(says);
    expect(onCard(device, CONF)).toBe(content);
  });

  test("without a country is applied, and the result says what that means", async () => {
    const device = deviceWith(null);
    drop(device, NETWORK.replace("country=CH\n", ""), CONF);
    await device.run("provision");
    expect(resultOf(device)).toContain("It names no country");
  });
});
