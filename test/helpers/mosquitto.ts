import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Child, startChild } from "./child.ts";
import { freeTcpPort } from "./free-tcp-port.ts";
import { tempDir } from "./temp-dir.ts";

/** Debian's mosquitto on loopback, the cloud of the tests. */
export interface Mosquitto {
  readonly tcpPort: number;
  readonly child: Child;
}

/** Starts mosquitto on `tcpPort` (a free one by default) with the given extra configuration lines. */
export async function startMosquitto(
  options: { tcpPort?: number; lines?: readonly string[] } = {},
): Promise<Mosquitto> {
  const tcpPort = options.tcpPort ?? (await freeTcpPort());
  const file = join(tempDir(), "mosquitto.conf");
  writeFileSync(
    file,
    [`listener ${tcpPort} 127.0.0.1`, "allow_anonymous true", ...(options.lines ?? []), ""].join(
      "\n",
    ),
  );
  const child = startChild("/usr/sbin/mosquitto", ["-v", "-c", file]);
  await child.waitForOutput(/mosquitto version .* running/);
  return { tcpPort, child };
}
