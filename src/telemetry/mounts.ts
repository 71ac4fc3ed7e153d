import type { Tree } from "./tree.ts";

/** A file system on a disk. */
export interface Mount {
  /** Where it is mounted. */
  readonly point: string;
  /** The kernel's number of its partition, as in /proc/diskstats: `179:2`. */
  readonly device: string;
}

/** More mounted disks than a board has; of more the first ones are shown. */
const MAX_MOUNTS = 16;

/**
 * File systems on local disks, each once. Network file systems are left out: asking one whose server
 * is away would hold a thread for as long as that lasts.
 */
export function mountsOf(tree: Tree): readonly Mount[] {
  const seen = new Set<string>();
  return parse(tree).filter(({ device, source }) => {
    if (!source.startsWith("/dev/") || /^\/dev\/(?:loop|ram|zram)\d/.test(source)) return false;
    if (seen.has(device) || seen.size === MAX_MOUNTS) return false;
    seen.add(device);
    return true;
  });
}

/** The disk that holds `directory`; null for memory, network and stacked file systems. */
export async function diskOf(
  tree: Tree,
  directory: string,
  disks: readonly string[],
): Promise<string | null> {
  const around = parse(tree).filter(
    ({ point }) => directory === point || directory.startsWith(point === "/" ? "/" : `${point}/`),
  );
  // Of mounts on top of each other the last one counts.
  const mount = around.reduce<(typeof around)[number] | null>(
    (best, next) => (best === null || next.point.length >= best.point.length ? next : best),
    null,
  );
  if (mount === null) return null;
  const partition = partitionOf(tree, mount.device) ?? mount.source.replace(/^\/dev\//, "");
  if (disks.includes(partition)) return partition;
  for (const disk of disks) {
    if (!partition.startsWith(disk)) continue;
    if ((await tree.size(`sys/block/${disk}/${partition}`)) !== null) return disk;
  }
  return null;
}

function partitionOf(tree: Tree, device: string): string | null {
  for (const line of (tree.proc("proc/diskstats") ?? "").split("\n")) {
    const [major, minor, name] = line.trim().split(/ +/);
    if (name !== undefined && `${major}:${minor}` === device) return name;
  }
  return null;
}

/** proc_pid_mountinfo(5): `id parent major:minor root point options [tag…] - type source options`. */
function parse(tree: Tree): readonly (Mount & { readonly source: string })[] {
  const text = tree.proc("proc/self/mountinfo") ?? "";
  return text.split("\n").flatMap((line) => {
    const [left = "", right = ""] = line.split(" - ");
    const [, , device, , point] = left.split(" ");
    const [, source] = right.split(" ");
    if (device === undefined || point === undefined || source === undefined) return [];
    return [{ device, point: unescaped(point), source: unescaped(source) }];
  });
}

/** Spaces and the like stand there as \040. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
