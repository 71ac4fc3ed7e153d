import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, it } from "vitest";

const PROJECT = fileURLToPath(new URL("../..", import.meta.url));
const COMMON = path.join(PROJECT, "firmware-image/board/common");
const MEBIBYTE = 1024 * 1024;
const PATH = `${process.env["PATH"]}:/usr/sbin:/sbin`;

let folder = "";
let target = "";
let binaries = "";
let host = "";

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), "tidegate-board-"));
  [target = "", binaries = "", host = ""] = ["target", "images", "host"].map((name) => {
    mkdirSync(path.join(folder, name));
    return path.join(folder, name);
  });
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  return execFileSync(program, args, { env: { ...process.env, PATH, ...env }, encoding: "utf8" });
}

/** A root tree as Buildroot has it by then: this machine's own program stands in for BusyBox. */
function makeTarget(): void {
  for (const part of ["bin", "lib", "etc", "boot", "usr/lib/tidegate"]) {
    mkdirSync(path.join(target, part), { recursive: true });
  }
  copyFileSync("/bin/true", path.join(target, "bin/busybox"));
  for (const [, library] of run("ldd", ["/bin/true"]).matchAll(/(\/\S+\.so\S*)/g)) {
    if (library !== undefined)
      copyFileSync(library, path.join(target, "lib", path.basename(library)));
  }
  writeFileSync(path.join(target, "boot/Image"), "kernel");
  writeFileSync(path.join(target, "usr/lib/os-release"), "ID=buildroot\n");
  // As scripts/stage leaves it when it is given a version.
  writeFileSync(
    path.join(target, "usr/lib/tidegate/package.json"),
    '{\n  "name": "tidegate",\n  "version": "9.8.7",\n  "private": true\n}\n',
  );
}

/** Files of a cpio archive and their sizes. */
function contentOf(archive: Buffer): string[] {
  return execFileSync("cpio", ["--quiet", "-t"], { input: archive, encoding: "utf8" }).split("\n");
}

/** A number of the card that scripts/build-image makes: both are flashed and updated alike. */
function layout(name: string): string {
  const card = path.join(PROJECT, "firmware-image/image/card.sh");
  return run("bash", ["-c", `source "$1" && printf %s "\${!2}"`, "layout", card, name]);
}

function place(partition: string) {
  return {
    startMiB: Number(layout(`${partition}_AT`)),
    sizeMiB: Number(layout(`${partition}_SIZE`)),
  };
}

it("post-build makes the appliance's root out of Buildroot's", () => {
  makeTarget();
  const env = { READELF: "readelf", SOURCE_DATE_EPOCH: "1790000000" };
  run(path.join(COMMON, "post-build.sh"), [target, "rpi"], env);
  const has = (file: string) => existsSync(path.join(target, file));
  expect(
    ["data", "boot/firmware", "usr/lib/systemd/system/tidegate.service"].filter(has),
  ).toHaveLength(3);
  expect(readFileSync(path.join(target, "etc/machine-id"), "utf8")).toBe("uninitialized\n");
  expect(readlinkSync(path.join(target, "boot/vmlinuz"))).toBe("Image");
  expect(readFileSync(path.join(target, "usr/lib/tidegate-release"), "utf8")).toBe(
    `VERSION=9.8.7\nBUILD_DATE=2026-09-21T14:13:20Z\nBOARD=arm64\n`,
  );

  const release = readFileSync(path.join(target, "usr/lib/os-release"), "utf8");
  expect(release).toContain(`ID=buildroot\nVARIANT="Tidegate"\n`);

  const initrd = readFileSync(path.join(target, "boot/initrd.img"));
  const content = contentOf(gunzipSync(initrd));
  expect(content).toEqual(expect.arrayContaining(["init", "bin/busybox", "lib/libc.so.6"]));
  expect(content.filter((file) => /^lib\/ld-linux/.test(file))).toHaveLength(1);

  // Again, as every `make` does it: the same bytes.
  run(path.join(COMMON, "post-build.sh"), [target, "rpi"], env);
  expect(readFileSync(path.join(target, "boot/initrd.img")).equals(initrd)).toBe(true);
  expect(readFileSync(path.join(target, "usr/lib/os-release"), "utf8")).toBe(release);
});

it("post-build fails when a library that BusyBox needs is not there", () => {
  makeTarget();
  rmSync(path.join(target, "lib/libc.so.6"));
  const env = { READELF: "readelf" };
  expect(() => run(path.join(COMMON, "post-build.sh"), [target, "rpi"], env)).toThrow(
    /libc\.so\.6/,
  );
});

it("the card's names on the device follow the signature it is given", () => {
  const rules = readFileSync(path.join(PROJECT, "systemd/udev/61-tidegate-disk.rules"), "utf8");
  const signature = layout("DISK_SIGNATURE");
  expect(rules).toContain(`ENV{ID_PART_TABLE_UUID}=="${signature}"`);
  expect(rules).toContain(`ENV{ID_PART_ENTRY_UUID}=="${signature}-0[1-4]"`);
});

it.each(["rpi", "qemu"])("post-image lays out the whole card for %s", (board) => {
  mkdirSync(path.join(host, "bin"));
  mkdirSync(path.join(host, "sbin"));
  for (const tool of ["bin/mkimage", "bin/mcopy", "bin/genimage", "sbin/mkfs.fat", "sbin/mke2fs"]) {
    const found = run("sh", ["-c", `command -v ${path.basename(tool)}`]).trim();
    symlinkSync(found, path.join(host, tool));
  }
  mkdirSync(path.join(binaries, "rpi-firmware/overlays"), { recursive: true });
  const firmware = ["start4.elf", "fixup4.dat", "cmdline.txt", "overlays/miniuart-bt.dtbo"];
  for (const name of firmware) writeFileSync(path.join(binaries, "rpi-firmware", name), name);
  writeFileSync(path.join(binaries, "bcm2711-rpi-4-b.dtb"), "device tree");
  writeFileSync(path.join(binaries, "u-boot.bin"), "u-boot");
  const root = path.join(binaries, "rootfs.ext4");
  writeFileSync(root, "slot");
  truncateSync(root, 512 * MEBIBYTE);

  run(path.join(COMMON, "post-image.sh"), [binaries, board], { HOST_DIR: host });

  const image = path.join(binaries, "tidegate.img");
  const { partitiontable } = JSON.parse(run("sfdisk", ["--json", image]));
  const partitions = partitiontable.partitions.map(
    (each: { start: number; size: number; type: string; bootable?: boolean }) => ({
      startMiB: (each.start * 512) / MEBIBYTE,
      sizeMiB: (each.size * 512) / MEBIBYTE,
      type: each.type,
      bootable: each.bootable === true,
    }),
  );
  expect([partitiontable.label, partitiontable.id]).toEqual([
    "dos",
    `0x${layout("DISK_SIGNATURE")}`,
  ]);
  const values = ["-o", "value", "-s", "UUID"];
  const volume = run("blkid", ["-p", "-O", String(4 * MEBIBYTE), ...values, image]);
  expect(volume.trim().replace("-", "")).toBe(layout("VOLUME_ID"));
  const slot = Number(layout("SLOT_SIZE"));
  expect(partitions).toEqual([
    { ...place("BOOT"), type: "c", bootable: true },
    { startMiB: Number(layout("SLOT_A_AT")), sizeMiB: slot, type: "83", bootable: false },
    { startMiB: Number(layout("SLOT_B_AT")), sizeMiB: slot, type: "83", bootable: false },
    { ...place("DATA"), type: "83", bootable: false },
  ]);
  const boot = run("mdir", ["-b", "-/", "-i", `${image}@@4M`, "::"]).split("\n");
  const files = boot
    .filter((name) => name !== "")
    .map((name) => name.replace("::/", ""))
    .sort();
  const expected = ["bcm2711-rpi-4-b.dtb", "boot.scr", "config.txt", "fixup4.dat", "overlays/"];
  const onPi = [...expected, "overlays/miniuart-bt.dtbo", "start4.elf", "u-boot.bin"];
  expect(files).toEqual(board === "rpi" ? onPi : ["boot.scr"]);
  expect(lstatSync(image).size).toBe(Number(layout("CARD_SIZE")) * MEBIBYTE);
  expect(readdirSync(binaries)).toContain("data.ext4");
});
