import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { until } from "../helpers/until.ts";

const execute = promisify(execFile);

/** What a program inside printed, and how it ended. */
export interface Ended {
  readonly code: number;
  readonly output: string;
}

/** An answer of the HTTP API. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** A systemd container with the appliance's root, entered from outside. */
export interface Container {
  /** Runs a program inside as root and returns what it printed; rejects when it fails. */
  run(program: string, ...args: string[]): Promise<string>;
  /** The same for one that may fail. */
  attempt(program: string, ...args: string[]): Promise<Ended>;
  /** Runs a line of shell inside. */
  shell(line: string): Promise<string>;
  /** A property of a unit, as `systemctl show` prints it. */
  property(unit: string, name: string): Promise<string>;
  /** Calls the API from inside: `admin` with the password given, JSON in and out. */
  api(path: string, options?: { body?: unknown; password?: string }): Promise<Answer>;
  /** Waits until everything that belongs to the boot is over, and says how it went. */
  booted(): Promise<string>;
  stop(): Promise<void>;
}

/** The folder made by scripts/nspawn-tree; scripts/test sets it. */
function rootFolder(): string {
  const folder = process.env["CONTAINER_ROOT"];
  if (folder === undefined) {
    throw new Error("set CONTAINER_ROOT to what scripts/nspawn-tree prints");
  }
  return folder;
}

/** Room for the boot loader's state, which lies before the first partition. */
const CARD_BYTES = 4 * 1024 * 1024;
/** Stands in for /proc/cmdline, which is this machine's. */
export const CMDLINE = "/usr/lib/tidegate-cmdline";

/**
 * Boots the appliance's root in a container of its own: its network is not this machine's, and what
 * it writes is gone with it. `files` lie on the boot partition, as somebody put them there. Programs of
 * /usr/lib/tidegate that are `broken` fail at once.
 *
 * In place of hardware it has a file system in memory at `/boot/firmware` (not every kernel here has
 * FAT), a file for the card, without any state of the boot loader yet, and a kernel command line that
 * says slot A.
 */
export async function startContainer({
  files = {},
  broken = [],
}: {
  files?: Readonly<Record<string, string>>;
  broken?: readonly string[];
} = {}): Promise<Container> {
  const folder = mkdtempSync(path.join(os.tmpdir(), "tidegate-container-"));
  const own = (name: string) => path.join(folder, name);
  try {
    for (const name of ["files", "boot"]) mkdirSync(own(name));
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(path.join(folder, "files", name), text);
    }
    writeFileSync(own("card"), Buffer.alloc(CARD_BYTES));
    writeFileSync(own("cmdline"), "root=/dev/vda2 ro rauc.slot=A\n");
    // The gateway proves itself for a second instead of ten.
    const environment = `TIDEGATE_CMDLINE=${CMDLINE} TIDEGATE_HEALTH_STAY_S=1`;
    writeFileSync(own("drop-in"), `[Service]\nEnvironment=${environment}\n`);
    writeFileSync(own("broken"), "#!/bin/sh\necho broken\nexit 1\n", { mode: 0o755 });
    return await bootFrom(folder, broken);
  } catch (err) {
    rmSync(folder, { recursive: true });
    throw err;
  }
}

async function bootFrom(folder: string, broken: readonly string[]): Promise<Container> {
  const own = (name: string) => path.join(folder, name);
  const group = path.join(controlGroups(), path.basename(folder));
  mkdirSync(group);
  // The boot partition is mounted where only the container's ancestors see it: it goes with them.
  // Two containers in one control group would end each other's services: each gets one.
  const script =
    'echo $$ >"$1/cgroup.procs"; shift; mount -t tmpfs -o size=8m,mode=700 boot "$1"; cp -R "$2/." "$1"; ' +
    'mount -o remount,ro "$1"; shift 2; exec "$@"';
  const nspawn = spawn(
    "setpriv",
    // It ends with the test runner, however that ends.
    ["--pdeathsig", "TERM", "--", "unshare", "--mount", "--", "sh", "-ec", script, "sh"].concat(
      [group, own("boot"), own("files"), "systemd-nspawn", "--quiet", "--boot", "--register=no"],
      ["--keep-unit", "--private-network", "--volatile=overlay", "--console=pipe"],
      [`--directory=${rootFolder()}`, `--machine=${path.basename(folder)}`],
      // As on the device, a file system of its own, but none that could grow.
      ["--hostname=tidegate", "--tmpfs=/data:mode=755", `--bind=${own("boot")}:/boot/firmware`],
      [`--bind=${own("card")}:/dev/disk/by-tidegate/disk`],
      [`--bind-ro=${own("cmdline")}:${CMDLINE}`],
      broken.map((name) => `--bind-ro=${own("broken")}:/usr/lib/tidegate/${name}`),
      ["health", "update"].map(
        (name) =>
          `--bind-ro=${own("drop-in")}:/etc/systemd/system/tidegate-${name}.service.d/test.conf`,
      ),
    ),
    {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: "1" },
    },
  );
  let printed = "";
  for (const stream of [nspawn.stdout, nspawn.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      printed += chunk.toString();
    });
  }
  const init = await until(
    "systemd in the container",
    () => {
      if (nspawn.exitCode !== null) throw new Error(`systemd-nspawn ended: ${printed}`);
      return initOf(nspawn);
    },
    30_000,
  );
  return entered(nspawn, init, () => removeAll(folder, group));
}

/** Where version 2 of control groups is; elsewhere than usual on machines that mix it with version 1. */
function controlGroups(): string {
  const mounts = readFileSync("/proc/mounts", "utf8");
  const [, place] = /^\S+ (\S+) cgroup2 /m.exec(mounts) ?? [];
  if (place === undefined) throw new Error("no cgroup2 file system is mounted on this machine");
  return place;
}

async function removeAll(folder: string, group: string): Promise<void> {
  rmSync(folder, { recursive: true });
  // Only folders can be removed in there, and only once the last process has gone.
  const listed = readdirSync(group, { recursive: true, withFileTypes: true });
  const groups = listed.filter((entry) => entry.isDirectory());
  const paths = groups.map((entry) => path.join(entry.parentPath, entry.name));
  for (const each of [...paths.toSorted((a, b) => b.length - a.length), group]) {
    await until(
      `the end of what ran in ${each}`,
      () => {
        try {
          rmdirSync(each);
        } catch {
          // Busy: somebody is on his way out.
        }
        return !existsSync(each);
      },
      10_000,
    );
  }
}

/** The container's first process, seen from here, once it is systemd. */
function initOf(nspawn: ChildProcess): number | undefined {
  const { pid } = nspawn;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  if (!/^\d+$/.test(children)) return undefined;
  try {
    return readFileSync(`/proc/${children}/comm`, "utf8") === "systemd\n"
      ? Number(children)
      : undefined;
  } catch {
    return undefined; // A helper that sets up the container, and has just ended.
  }
}

function entered(nspawn: ChildProcess, init: number, cleanUp: () => Promise<void>): Container {
  const inside = ["--target", String(init), "--mount", "--uts", "--ipc", "--net", "--pid"];
  const enter = (program: string, args: readonly string[]) =>
    execute("nsenter", [...inside, "--cgroup", "--", program, ...args], {
      encoding: "utf8",
      maxBuffer: 16_000_000,
      timeout: 120_000,
      // Not this machine's: the programs are the container's.
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C.UTF-8", SYSTEMD_PAGER: "" },
    });
  const run = async (program: string, ...args: string[]) => (await enter(program, args)).stdout;
  const attempt = async (program: string, ...args: string[]): Promise<Ended> => {
    try {
      const { stdout, stderr } = await enter(program, args);
      return { code: 0, output: stdout + stderr };
    } catch (err) {
      if (!(err instanceof Error && "code" in err && "stdout" in err && "stderr" in err)) throw err;
      if (typeof err.code !== "number") throw err;
      return { code: err.code, output: `${err.stdout}${err.stderr}` };
    }
  };
  let ended: Promise<void> | undefined;
  const api: Container["api"] = async (path, { body, password = "" } = {}) => {
    const args = ["--target", String(init), "--net", "--", "curl", "--silent", "--max-time", "20"];
    args.push("--user", `admin:${password}`, "--write-out", "\n%{http_code}");
    if (body !== undefined) {
      args.push("--header", "content-type: application/json", "--data", JSON.stringify(body));
    }
    const { stdout } = await execute("nsenter", [...args, `http://127.0.0.1:8081${path}`]);
    const end = stdout.lastIndexOf("\n");
    const text = stdout.slice(0, end);
    return { status: Number(stdout.slice(end + 1)), body: text === "" ? null : JSON.parse(text) };
  };
  return {
    run,
    attempt,
    shell: (line) => run("sh", "-euc", line),
    property: async (unit, name) =>
      (await run("systemctl", "show", "--value", `--property=${name}`, unit)).trim(),
    api,
    booted: () =>
      until(
        "the end of the boot",
        async () => {
          const { output } = await attempt("systemctl", "is-system-running", "--wait");
          const state = output.trim();
          return ["running", "degraded", "maintenance"].includes(state) && state;
        },
        90_000,
      ),
    stop: () => {
      ended ??= end(nspawn).then(cleanUp);
      return ended;
    },
  };
}

/** An orderly end, as `systemctl poweroff` is one; not waited for longer than a minute. */
async function end(nspawn: ChildProcess): Promise<void> {
  if (nspawn.exitCode !== null || nspawn.signalCode !== null) return;
  const exited = once(nspawn, "exit");
  nspawn.kill("SIGTERM");
  const kill = setTimeout(() => nspawn.kill("SIGKILL"), 60_000);
  await exited;
  clearTimeout(kill);
}
