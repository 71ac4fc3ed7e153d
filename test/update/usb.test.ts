import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
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
  // Shows the stick where it is to be mounted; another update seems to be under way.
  const programs = {
    "systemd-mount": `#!/bin/sh
for last; do :; done
case "$*" in
  *--umount*) rm "$last" && mkdir "$last" && rm "$TIDEGATE_ROOT/mounted" ;;
  *)
    rmdir "$last" && ln -s "$TIDEGATE_ROOT/stick" "$last"
    echo "$@" | tee "$TIDEGATE_ROOT/options" >"$TIDEGATE_ROOT/mounted"
    ;;
esac
`,
    flock: "#!/bin/sh\nexit 1\n",
  };
  for (const [name, text] of Object.entries(programs)) {
    device.write(`programs/${name}`, text);
    chmodSync(device.path(`programs/${name}`), 0o755);
  }
});

const put = (...names: readonly string[]) => {
  for (const name of names) writeFileSync(join(stick, name), "x");
};

/** What the API is to tell of each stick, as lines. */
const told = () =>
  device
    .read("data/update/usb.jsonl")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);

it("takes the newest version that is newer than what runs, and nothing else", async () => {
  put("tidegate-1.0.0-arm64.raucb", "tidegate-1.9.0-arm64.raucb", "tidegate-1.10.0-arm64.raucb");
  put("tidegate-1.10.0-arm64.raucb.part", "holiday.jpg", "tidegate-99-arm64.raucb");
  put("tidegate-2.0.0-amd64.raucb", "tidegate-;reboot;-arm64.raucb");
  symlinkSync("/etc/passwd", join(stick, "tidegate-9.0.0-arm64.raucb"));
  mkdirSync(join(stick, "tidegate-8.0.0-arm64.raucb"));
  const { output } = await device.run("usb-update", "/dev/sda1");
  expect(output).toContain("taking tidegate-1.10.0-arm64.raucb");
  expect(device.has("mounted")).toBe(false);
  // By then, for another update is under way.
  expect(told()).toMatchObject([
    { device: "sda1", message: expect.stringMatching(/^another update .*tidegate-1\.10\.0-arm64/) },
  ]);
});

it("mounts it for reading only, and does nothing where nothing is newer", async () => {
  put("tidegate-1.1.0-arm64.raucb", "tidegate-1.0.9-arm64.raucb");
  const { code } = await device.run("usb-update", "/dev/sda1");
  expect(code).toBe(0);
  expect(device.read("options")).toMatch(/--options=ro,nodev,nosuid,noexec \/dev\/sda1/);
  expect(device.has("mounted")).toBe(false);
  expect(device.has("data/update/status.json")).toBe(false);
  expect(told()).toMatchObject([
    { message: "no update that is newer than 1.1.0, which is running: there is 1.1.0" },
  ]);
});

it("does not try a version again that fell back here", async () => {
  put("tidegate-1.2.0-arm64.raucb", "tidegate-1.3.0-arm64.raucb");
  device.write("data/update/fell-back", "1.3.0\n");
  const first = await device.run("usb-update", "/dev/sda1");
  expect(first.output).toContain("version 1.3.0 fell back here before");
  expect(first.output).toContain("taking tidegate-1.2.0-arm64.raucb");
  device.write("data/update/fell-back", "1.2.0\n1.3.0\n");
  const second = await device.run("usb-update", "/dev/sda1");
  expect(second).toMatchObject({ code: 0 });
  const message = expect.stringMatching(/^version 1\.\d\.0 fell back here before/);
  expect(told()).toMatchObject([{ message }]);
});

it("tells of each stick, and of the newest last", async () => {
  put("holiday.jpg");
  for (const name of ["sda1", "sdb", "sda1"]) await device.run("usb-update", `/dev/${name}`);
  const message = expect.stringMatching(/^no update: no file tidegate-<version>-arm64\.raucb/);
  const at = expect.stringMatching(/^20\d\d-.*Z$/);
  expect(told()).toEqual([
    { device: "sdb", message, at },
    { device: "sda1", message, at },
  ]);
});

it("an update that is refused is told with its reason, there and as an update", async () => {
  rmSync(device.path("programs/flock"));
  put("tidegate-1.2.0-arm64.raucb");
  const { code } = await device.run("usb-update", "/dev/sda1");
  expect(code).toBe(65);
  expect(device.status()).toMatchObject({ state: "refused", source: "usb" });
  const message = expect.stringMatching(/^tidegate-1\.2\.0-arm64\.raucb refused: the bundle is/);
  expect(told()).toMatchObject([{ message }]);
  expect(device.has("mounted")).toBe(false);
});

it("a stick that cannot be mounted is left alone", async () => {
  execFileSync("ln", ["-sf", "/bin/false", device.path("programs/systemd-mount")]);
  const { code } = await device.run("usb-update", "/dev/sda1");
  expect(code).toBe(1);
  expect(told()).toMatchObject([{ message: "it cannot be mounted" }]);
  expect(device.has("data/update/status.json")).toBe(false);
});
