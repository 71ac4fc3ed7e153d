import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, it } from "vitest";
import { Device } from "./device.ts";

/** The program's choice among a stick's files; mounting and the installation are stood in for. */

let device: Device;
let stick = "";

beforeEach(() => {
  device = new Device("1.1.0");
  stick = device.path("stick");
  mkdirSync(stick);
  // Shows the stick where it is to be mounted, and notes which file was to be installed.
  const programs = {
    mount:
      '#!/bin/sh\nfor last; do :; done\nrmdir "$last" && ln -s "$TIDEGATE_ROOT/stick" "$last"\necho "$@" >"$TIDEGATE_ROOT/mounted"\n',
    umount: '#!/bin/sh\nrm "$1" && mkdir "$1" && rm "$TIDEGATE_ROOT/mounted"\n',
    flock: '#!/bin/sh\necho "$@" >"$TIDEGATE_ROOT/tried"\nexit 1\n',
    rauc: "#!/bin/sh\nexit 1\n",
  };
  for (const [name, text] of Object.entries(programs)) {
    device.write(`programs/${name}`, text);
    chmodSync(device.path(`programs/${name}`), 0o755);
  }
});

const put = (...names: readonly string[]) => {
  for (const name of names) writeFileSync(join(stick, name), "x");
};

it("takes the newest version that is newer than what runs, and nothing else", async () => {
  put("tidegate-1.0.0-arm64.raucb", "tidegate-1.9.0-arm64.raucb", "tidegate-1.10.0-arm64.raucb");
  put("tidegate-1.10.0-arm64.raucb.part", "holiday.jpg", "tidegate-99-arm64.raucb");
  put("tidegate-2.0.0-amd64.raucb", "tidegate-;reboot;-arm64.raucb");
  symlinkSync("/etc/passwd", join(stick, "tidegate-9.0.0-arm64.raucb"));
  mkdirSync(join(stick, "tidegate-8.0.0-arm64.raucb"));
  const { output } = await device.run("usb-update", "/dev/sda1");
  expect(output).toContain("taking tidegate-1.10.0-arm64.raucb");
  expect(device.has("mounted")).toBe(false);
});

it("mounts it for reading only, and does nothing where nothing is newer", async () => {
  put("tidegate-1.1.0-arm64.raucb", "tidegate-1.0.9-arm64.raucb");
  device.write(
    "programs/umount",
    '#!/bin/sh\ncp "$TIDEGATE_ROOT/mounted" "$TIDEGATE_ROOT/options"\nrm "$1"; mkdir "$1"\n',
  );
  const { code, output } = await device.run("usb-update", "/dev/sda1");
  expect(code).toBe(0);
  expect(output).toContain("no update that is newer than 1.1.0");
  expect(device.read("options")).toMatch(/-o ro,nodev,nosuid,noexec \/dev\/sda1/);
});

it("does not try a version again that fell back here", async () => {
  put("tidegate-1.2.0-arm64.raucb", "tidegate-1.3.0-arm64.raucb");
  device.write("data/update/fell-back", "1.3.0\n");
  const first = await device.run("usb-update", "/dev/sda1");
  expect(first.output).toContain("version 1.3.0 fell back here before");
  expect(first.output).toContain("taking tidegate-1.2.0-arm64.raucb");
  device.write("data/update/fell-back", "1.2.0\n1.3.0\n");
  const second = await device.run("usb-update", "/dev/sda1");
  expect(second).toMatchObject({ code: 0, output: expect.stringContaining("no update") });
});

it("a stick that cannot be mounted is left alone", async () => {
  execFileSync("ln", ["-sf", "/bin/false", device.path("programs/mount")]);
  const { code, output } = await device.run("usb-update", "/dev/sda1");
  expect(code).toBe(1);
  expect(output).toContain("cannot be mounted");
  expect(device.has("data/update/status.json")).toBe(false);
});
