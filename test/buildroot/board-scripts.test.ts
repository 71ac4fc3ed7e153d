import { execFileSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";

const PROJECT = fileURLToPath(new URL("../..", import.meta.url));
const COMMON = path.join(PROJECT, "firmware-image/board/common");
const MEBIBYTE = 1024 * 1024;
const PATH = `${process.env["PATH"]}:/usr/sbin:/sbin`;

let folder = "";
let binaries = "";
let host = "";

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), "tidegate-board-"));
  [binaries = "", host = ""] = ["images", "host"].map((name) => {
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
  expect(partitiontable.label).toBe("dos");
  expect(partitions).toEqual([
    { startMiB: 4, sizeMiB: 64, type: "c", bootable: true },
    { startMiB: 68, sizeMiB: 512, type: "83", bootable: false },
    { startMiB: 580, sizeMiB: 512, type: "83", bootable: false },
    { startMiB: 1092, sizeMiB: 64, type: "83", bootable: false },
  ]);
  const boot = run("mdir", ["-b", "-/", "-i", `${image}@@4M`, "::"]).split("\n");
  const files = boot
    .filter((name) => name !== "")
    .map((name) => name.replace("::/", ""))
    .sort();
  const expected = ["bcm2711-rpi-4-b.dtb", "boot.scr", "config.txt", "fixup4.dat", "overlays/"];
  const onPi = [...expected, "overlays/miniuart-bt.dtbo", "start4.elf", "u-boot.bin"];
  expect(files).toEqual(board === "rpi" ? onPi : ["boot.scr"]);
  expect(lstatSync(image).size).toBe(1156 * MEBIBYTE);
  expect(readdirSync(binaries)).toContain("data.ext4");
});
