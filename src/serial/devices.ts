import { readdir, readlink } from "node:fs/promises";
import { basename, join } from "node:path";

/** A serial device that is plugged in, with the names that stay the same. */
export interface SerialDevice {
  /** What it is called now, `/dev/ttyUSB0`. */
  readonly path: string;
  /** Follows the adapter, as it names itself; two alike may share it. */
  readonly byId: string | null;
  /** Follows the USB socket. */
  readonly byPath: string | null;
}

/** Device names the kernel gives serial ports of boards and adapters. */
const SERIAL = /^tty(USB|ACM|AMA|S|mxc|SC|XRUSB)\d+$/;
const MAX_DEVICES = 256;

/**
 * The serial devices of this machine, read from `/dev` and `/dev/serial` without opening any.
 * @param dev another place than `/dev`, for tests
 */
export async function serialDevices(dev = "/dev"): Promise<readonly SerialDevice[]> {
  const [names, byId, byPath] = await Promise.all([
    readdir(dev).catch(() => []),
    linksIn(join(dev, "serial/by-id")),
    linksIn(join(dev, "serial/by-path")),
  ]);
  const found = new Set([...names.filter((name) => SERIAL.test(name)), ...byId.keys()]);
  return [...found, ...byPath.keys()]
    .filter((name, index, all) => all.indexOf(name) === index)
    .sort()
    .slice(0, MAX_DEVICES)
    .map((name) => ({
      path: join(dev, name),
      byId: byId.get(name) ?? null,
      byPath: byPath.get(name) ?? null,
    }));
}

/** From a device's name to the link that leads to it. */
async function linksIn(folder: string): Promise<ReadonlyMap<string, string>> {
  const links = new Map<string, string>();
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name);
    const target = await readlink(path).catch(() => null);
    if (target !== null) links.set(basename(target), path);
  }
  return links;
}
