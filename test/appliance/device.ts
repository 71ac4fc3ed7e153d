import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { tempDir } from "../helpers/temp-dir.ts";

const ROOT = join(import.meta.dirname, "../..");
const PROGRAMS = join(ROOT, "firmware-image/rootfs/usr/lib/tidegate");

/** Only root can mount something as the boot partition; others get a plain folder in its place. */
const CAN_MOUNT = process.geteuid?.() === 0;

/** Not every kernel that runs containers knows it; the image job has it for certain. */
const HAS_VFAT = /\tvfat$/m.test(readFileSync("/proc/filesystems", "latin1"));

/** Room for a file that is far too large. */
const CARD_KIB = 16_384;

/** `setpriv` without the account: its options are passed over, its command is run. */
const WITHOUT_USER = `while :; do
  case $1 in
    --reuid | --regid) shift 2 ;;
    --*) shift ;;
    *) exec "$@" ;;
  esac
done`;

/** What a program of the device ended with. */
export interface Outcome {
  readonly code: number | string;
  /** Standard output and error in the order they came. */
  readonly said: string;
}

/** A device's files below a folder, and programs that are there in place of the system's. */
export interface Device {
  readonly root: string;
  path(name: string): string;
  /** The text of a file of the device, null when there is none. */
  read(name: string): string | null;
  write(name: string, content: string | Buffer): void;
  /** Puts a shell script in the place of a program of the system. */
  replace(program: string, script: string): void;
  /** The power goes when the given programs together are called for the `nth` time.
   * Some do what a script says instead. */
  cutPower(
    programs: readonly string[],
    nth: number,
    instead?: Readonly<Record<string, string>>,
  ): void;
  /** Takes back what was put in the place of these programs. */
  restore(programs: readonly string[]): void;
  /** Runs /usr/lib/tidegate/PROGRAM. */
  run(program: string, env?: NodeJS.ProcessEnv): Promise<Outcome>;
  /** What somebody with a card reader does to the boot partition. */
  onCard<T>(work: (card: string) => T): T;
}

/** A device that has not started yet: what the image holds, as far as the programs look at it. */
export function newDevice({ mounted = false }: { mounted?: boolean } = {}): Device {
  const root = tempDir();
  const bin = tempDir();
  const isMounted = mounted && CAN_MOUNT;
  const path = (name: string) => join(root, name);
  for (const folder of ["data/system", "boot/firmware", "etc/tidegate", "etc/avahi/services"]) {
    mkdirSync(path(folder), { recursive: true });
  }
  for (const folder of [
    "run",
    "dev",
    "usr/bin",
    "usr/lib",
    "var/lib/tidegate",
    "proc/sys/kernel",
  ]) {
    mkdirSync(path(folder), { recursive: true });
  }
  const write = (name: string, content: string | Buffer) => {
    mkdirSync(dirname(path(name)), { recursive: true });
    writeFileSync(path(name), content);
  };
  const replace = (program: string, script: string) => {
    writeFileSync(join(bin, program), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, program), 0o755);
  };
  write("usr/lib/tidegate-release", "VERSION=1.2.3\nBOARD=arm64\n");
  write("etc/hostname", "tidegate\n");
  write("etc/machine-id", `${"0123456789abcdef".repeat(2)}\n`);
  write("usr/bin/tidegate", gatewayCommand(path));
  chmodSync(path("usr/bin/tidegate"), 0o755);
  // The account exists on the device only.
  replace("chgrp", ":");
  replace("setpriv", WITHOUT_USER);
  replace("hostname", "exit 1");
  replace("ip", "echo '2: eth0    inet 192.0.2.7/24 brd 192.0.2.255 scope global eth0'");
  replace("findmnt", "echo none");
  replace("resize2fs", ":");
  if (isMounted) mountCard(path("boot/firmware"));
  else replace("mount", ":");

  return {
    root,
    path,
    read: (name) => readOrNull(path(name)),
    write,
    replace,
    cutPower(programs, nth, instead = {}) {
      const count = join(bin, "count");
      rmSync(count, { force: true });
      for (const program of programs) {
        const real = execFileSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" });
        const work = instead[program] ?? `exec ${real.trim()} "$@"`;
        const isLast = `echo x >>${count}; [ "$(wc -l <${count})" -lt ${nth} ]`;
        replace(program, `${isLast} || kill -9 0\n${work}`);
      }
    },
    restore(programs) {
      for (const program of programs) rmSync(join(bin, program), { force: true });
    },
    run: (program, env) =>
      new Promise((resolve) => {
        const options = {
          env: { ...process.env, PATH: `${bin}:${process.env["PATH"]}:/usr/sbin:/sbin`, ...env },
          timeout: 60_000,
        };
        const shell = ["-c", 'exec 2>&1; exec sh "$0" "$@"', join(PROGRAMS, program), root];
        // In a process group of its own, which a power cut ends.
        const child = spawn("sh", shell, {
          ...options,
          detached: true,
          stdio: ["ignore", "pipe", "ignore"],
        });
        let said = "";
        child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
        child.on("close", (code, signal) => resolve({ code: code ?? signal ?? "?", said }));
      }),
    onCard(work) {
      const card = path("boot/firmware");
      if (isMounted) execFileSync("mount", ["-o", "remount,rw", card]);
      try {
        return work(card);
      } finally {
        if (isMounted) execFileSync("mount", ["-o", "remount,ro", card]);
      }
    },
  };
}

/** `tidegate` from this working tree, with what systemd and the image tell it on the device. */
function gatewayCommand(path: (name: string) => string): string {
  return `#!/bin/sh
export TIDEGATE_CONFIG=${path("etc/tidegate/tidegate.yaml")} TIDEGATE_DATA=${path("var/lib/tidegate")}
export TIDEGATE_DEFAULTS=/dev/null NODE_COMPILE_CACHE=${join(ROOT, "build/compile-cache")}
exec ${process.execPath} ${join(ROOT, "src/main.ts")} "$@"
`;
}

/** A boot partition, mounted read-only as on the device: FAT where the kernel knows it, else in memory. */
function mountCard(at: string): void {
  if (HAS_VFAT) {
    const image = join(tempDir(), "card.vfat");
    const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` };
    execFileSync("mkfs.vfat", ["-C", image, String(CARD_KIB)], { env, stdio: "pipe" });
    execFileSync("mount", ["-o", "loop,ro,umask=0077", image, at]);
  } else {
    execFileSync("mount", ["-t", "tmpfs", "-o", `ro,size=${CARD_KIB}k`, "tmpfs", at]);
  }
  onTestFinished(() => {
    execFileSync("umount", [at]);
  });
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
