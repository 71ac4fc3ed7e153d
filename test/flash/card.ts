import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const PROJECT = fileURLToPath(new URL("../..", import.meta.url));
const MEBIBYTE = 1024 * 1024;

/** Loop devices need root and a kernel that has them. */
export const HAS_LOOP_DEVICES = process.getuid?.() === 0 && existsSync("/dev/loop-control");

/** What a run of scripts/flash came to. */
export interface Outcome {
  readonly code: number | null;
  readonly printed: string;
}

/** A folder with an image, stand-in programs and loop devices that take the place of cards. */
export interface Bench {
  readonly folder: string;
  /** An image with the appliance's four partitions, of 24 MiB, its content random. */
  image(): string;
  /** A loop device of that many MiB full of 0xff; the file behind it lies in `below`. */
  card(mebibytes: number, below?: string): string;
  /** The second partition of a loop device, where slot A is. */
  slot(device: string): string;
  /** A program that is found before the system's own. */
  standIn(program: string, text: string): void;
  mountMemory(mebibytes: number): string;
  flash(args: readonly string[], answer?: string): Outcome;
  close(): void;
}

/** @returns a bench whose `close()` gives back every device and mount. */
export function createBench(): Bench {
  const folder = mkdtempSync(path.join(os.tmpdir(), "tidegate-flash-"));
  const programs = path.join(folder, "programs");
  mkdirSync(programs);
  const devices: string[] = [];
  const mounts: string[] = [];
  const nodes: string[] = [];
  return {
    folder,
    image: () => makeImage(folder),
    card: (mebibytes, below = folder) => {
      const file = path.join(below, `card-${devices.length}`);
      writeFileSync(file, "");
      run("truncate", ["--size", `${mebibytes}M`, file]);
      // A file on tmpfs may be larger than what it can hold: it is left sparse.
      if (below === folder) writeFileSync(file, Buffer.alloc(mebibytes * MEBIBYTE, 0xff));
      const device = run("losetup", ["--find", "--show", "--partscan", file]).trim();
      devices.push(device);
      return device;
    },
    slot: (device) => {
      const partition = `${device}p2`;
      // A kernel without DOS partition tables is told, and nobody makes nodes where no udev runs.
      if (!existsSync(`/sys/class/block/${path.basename(partition)}`)) {
        run("partx", ["--add", device]);
      }
      if (!existsSync(partition)) {
        const number = readFileSync(`/sys/class/block/${path.basename(partition)}/dev`, "utf8");
        run("mknod", [partition, "b", ...number.trim().split(":")]);
        nodes.push(partition);
      }
      return partition;
    },
    standIn: (program, text) => writeFileSync(path.join(programs, program), text, { mode: 0o755 }),
    mountMemory: (mebibytes) => {
      const point = path.join(folder, `memory-${mounts.length}`);
      mkdirSync(point);
      run("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}M`, "tmpfs", point]);
      mounts.push(point);
      return point;
    },
    flash: (args, answer = "") => {
      const env = { ...process.env, PATH: `${programs}:${process.env["PATH"]}:/usr/sbin` };
      const options = { env, input: answer, encoding: "utf8" } as const;
      const ended = spawnSync(path.join(PROJECT, "scripts/flash"), args, options);
      return { code: ended.status, printed: ended.stdout + ended.stderr };
    },
    close: () => {
      for (const node of nodes) rmSync(node, { force: true });
      for (const device of devices) run("losetup", ["--detach", device]);
      for (const point of mounts) run("umount", [point]);
      rmSync(folder, { recursive: true });
    },
  };
}

/** Runs a program and @returns what it printed. */
export function run(program: string, args: readonly string[], input = ""): string {
  const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin` };
  return execFileSync(program, args, { env, input, encoding: "utf8", stdio: "pipe" });
}

/** The first bytes of a card, past the kernel's memory of it. */
export function contentOf(device: string, bytes: number): Buffer {
  run("blockdev", ["--flushbufs", device]);
  return readFileSync(device).subarray(0, bytes);
}

function makeImage(folder: string): string {
  const file = path.join(folder, "tidegate-1.2.3-arm64.img");
  const boot = path.join(folder, "boot.vfat");
  writeFileSync(boot, Buffer.alloc(8 * MEBIBYTE));
  run("mkfs.vfat", ["-F", "12", "-n", "TIDEGATE", boot]);
  const image = Buffer.alloc(24 * MEBIBYTE);
  crypto.getRandomValues(image.subarray(12 * MEBIBYTE, 12 * MEBIBYTE + 65_536));
  readFileSync(boot).copy(image, 4 * MEBIBYTE);
  writeFileSync(file, image);
  const table = "label: dos\n4MiB,8MiB,c,*\n12MiB,4MiB,83\n16MiB,4MiB,83\n20MiB,4MiB,83\n";
  run("sfdisk", ["--quiet", file], table);
  return file;
}
