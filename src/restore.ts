import { readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { diskFiles } from "./config/index.ts";
import { isGatewayError, reasonOf } from "./errors/index.ts";
import type { Log } from "./log/index.ts";
import type { Clock } from "./time/index.ts";

/** What is needed of the backups. */
export interface RestoreDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly dataDir: string;
  readonly backup: {
    put(name: string, bytes: Buffer): Promise<{ readonly name: string }>;
    import(name: string): Promise<void>;
  };
}

/** Put there for the gateway by who provisions the device. */
const WAITING = "restore.tar.gz";
/** For who told about it. */
const RESULT = "restore-result.txt";

/** A backup of everything a device can hold is smaller; the provisioning takes no more either. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Reads back the backup that waits in the data directory, if there is one, and writes what came of it
 * beside it. When it is read, the gateway restarts with it. The waiting file goes before that, so it
 * is tried once; it is kept among the backups. Never rejects: a backup that cannot be used changes
 * nothing.
 */
export async function restoreWaiting({ log, clock, dataDir, backup }: RestoreDeps): Promise<void> {
  const path = join(dataDir, WAITING);
  const told = async (text: string) => {
    await diskFiles.write(
      join(dataDir, RESULT),
      `${new Date(clock.nowMs()).toISOString()} ${text}\n`,
    );
  };
  try {
    const size = await stat(path).then(
      (found) => (found.isFile() ? found.size : null),
      () => null,
    );
    if (size === null) return;
    const bytes = size > MAX_BYTES ? null : await readFile(path);
    await rm(path);
    if (bytes === null) {
      await told(`refused: it has ${size} bytes, expected at most ${MAX_BYTES}`);
      return;
    }
    const { name } = await backup.put(`restored-${clock.nowMs()}.tar.gz`, bytes);
    // Told before: reading it back ends in a restart.
    await told("applied");
    await backup.import(name);
    log.info({ name }, "the backup from the boot partition is read back");
  } catch (err) {
    const reason = reasonOf(err);
    if (isGatewayError(err)) log.error({ code: err.code, reason }, "backup not restored");
    else log.error({ err }, "backup not restored");
    await told(`refused: ${reason}`).catch((failure: unknown) => {
      log.error({ err: failure }, "nobody is told that the backup was not restored");
    });
  }
}
