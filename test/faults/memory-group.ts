import { existsSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { until } from "../helpers/until.ts";

/** The files of the two kinds of memory control groups. */
const KINDS = [
  {
    root: "/sys/fs/cgroup",
    marker: "cgroup.controllers",
    limit: "memory.max",
    swap: { file: "memory.swap.max", isWithMemory: false },
    events: "memory.events",
  },
  {
    root: "/sys/fs/cgroup/memory",
    marker: "memory.limit_in_bytes",
    limit: "memory.limit_in_bytes",
    swap: { file: "memory.memsw.limit_in_bytes", isWithMemory: true },
    events: "memory.oom_control",
  },
] as const;

type Kind = (typeof KINDS)[number];

/** A control group with a limit of memory and without swap: a small board for whoever runs in it. */
export interface MemoryGroup {
  /** Put in front of a command line, it runs in the group. */
  readonly wrapper: readonly string[];
  /** The same for the one that is killed first when memory runs out. */
  readonly victimWrapper: readonly string[];
  /** How often the kernel killed somebody for want of memory. */
  kills(): number;
}

/** Whether this machine lets us: it takes root and a memory controller that is ours to use. */
export function canLimitMemory(): boolean {
  try {
    rmdirSync(makeGroup(2 ** 30).directory);
    return true;
  } catch {
    return false;
  }
}

/** Makes a group for the running test. @throws Error where `canLimitMemory` is false */
export function createMemoryGroup(limitBytes: number): MemoryGroup {
  const { kind, directory } = makeGroup(limitBytes);
  onTestFinished(async () => {
    await until("the group to be empty", () => isRemoved(directory));
  });
  const wrapper = (before: string) => [
    "/bin/sh",
    "-c",
    `${before} echo $$ > "$0"/cgroup.procs && exec "$@"`,
    directory,
  ];
  return {
    wrapper: wrapper(""),
    victimWrapper: wrapper("echo 1000 > /proc/self/oom_score_adj &&"),
    kills() {
      const events = readFileSync(join(directory, kind.events), "utf8");
      return Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0);
    },
  };
}

/**
 * As much memory as a small board has, where this machine lets us: V8 keeps house by the memory there
 * is, so that its size says little on a machine with much of it.
 */
export function boardWrapper(): readonly string[] {
  return canLimitMemory() ? createMemoryGroup(512 * 2 ** 20).wrapper : [];
}

function makeGroup(limitBytes: number): { kind: Kind; directory: string } {
  const kind = KINDS.find(({ root, marker }) => existsSync(join(root, marker)));
  if (kind === undefined) throw new Error("no memory controller");
  const { root, limit, swap } = kind;
  const controllers = join(root, "cgroup.subtree_control");
  if (existsSync(controllers)) writeFileSync(controllers, "+memory");
  const directory = mkdtempSync(join(root, "tidegate-test-"));
  try {
    writeFileSync(join(directory, limit), String(limitBytes));
    const swapFile = join(directory, swap.file);
    if (existsSync(swapFile)) writeFileSync(swapFile, swap.isWithMemory ? String(limitBytes) : "0");
  } catch (err) {
    rmdirSync(directory);
    throw err;
  }
  return { kind, directory };
}

function isRemoved(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch {
    return !existsSync(directory);
  }
}
