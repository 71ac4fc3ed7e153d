import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { reasonOf } from "./errors/index.ts";

import type { Log } from "./log/index.ts";

/**
 * Tells the other programs of the device, such as the one that announces it on the LAN, where the
 * gateway listens: the file `ports` in the run-time directory, NAME=PORT lines (`tcp=1883`), one for
 * each open listener and HTTP port.
 * @param directory systemd's `RUNTIME_DIRECTORY`; null = nobody is told
 */
export async function writePortsFile(
  directory: string | null,
  ports: Readonly<Record<string, number>>,
  log: Log,
): Promise<void> {
  if (directory === null) return;
  const path = join(directory, "ports");
  const lines = Object.entries(ports).map(([name, tcpPort]) => `${name}=${tcpPort}\n`);
  try {
    await writeFile(`${path}.new`, lines);
    await rename(`${path}.new`, path);
  } catch (err) {
    log.warn({ path, reason: reasonOf(err) }, "nobody is told where the gateway listens");
  }
}
