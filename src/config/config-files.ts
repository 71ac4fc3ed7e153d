import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { GatewayError, reasonOf } from "../errors/index.ts";
import { MAX_FILE_BYTES } from "./yaml-text.ts";

const CHUNK_BYTES = 16_384;

/** Where everything that belongs to the configuration stands below the data directory. */
export interface ConfigPaths {
  readonly directory: string;
  /** What the API wrote. */
  readonly current: string;
  /** Versions of `current`, `00000001.yaml` and up. */
  readonly history: string;
  /** Keys and certificates, named by kind and content. */
  readonly pem: string;
  /** The operator's file from outside that has not proved itself yet. */
  readonly provisioned: string;
  /** The operator's file before that one. */
  readonly operatorBefore: string;
  /** That it did not come up, for who put it there. */
  readonly takenBack: string;
  /** The changed configuration that has not proved itself yet. */
  readonly trial: string;
  /** What was put aside and when, until the next change. */
  readonly incidents: string;
}

/** The paths for one data directory. */
export function configPaths(dataDir: string): ConfigPaths {
  const directory = join(dataDir, "config");
  return {
    directory,
    current: join(directory, "current.yaml"),
    history: join(directory, "history"),
    pem: join(directory, "tls"),
    provisioned: join(directory, "provisioned.json"),
    takenBack: join(directory, "taken-back.txt"),
    operatorBefore: join(directory, "operator-before.yaml"),
    trial: join(directory, "trial.json"),
    incidents: join(directory, "incidents.json"),
  };
}

/**
 * The bytes of a configuration file, one more than the limit at most; null when there is none.
 * @throws GatewayError CONFIG_FILE_UNREADABLE for anything else that cannot be read.
 */
export function readConfigFile(path: string): Buffer | null {
  try {
    return readBounded(path);
  } catch (err) {
    if (isMissing(err)) return null;
    if (err instanceof GatewayError) throw err;
    throw new GatewayError(
      "CONFIG_FILE_UNREADABLE",
      { path, reason: reasonOf(err) },
      { cause: err },
    );
  }
}

/** Whether `err` says that there is no such file. */
export function isMissing(err: unknown): boolean {
  return err instanceof Error && "code" in err && err.code === "ENOENT";
}

function readBounded(path: string): Buffer {
  // Without O_NONBLOCK, opening a FIFO waits for somebody to write to it.
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(descriptor);
    // A character device is /dev/null, the usual way to say "none".
    if (!stat.isFile() && !stat.isCharacterDevice()) {
      const reason = "it is not a regular file";
      throw new GatewayError("CONFIG_FILE_UNREADABLE", { path, reason });
    }
    // Read to the end rather than by its size: files of /proc say 0, and files grow.
    const chunks: Buffer[] = [];
    let length = 0;
    while (length <= MAX_FILE_BYTES) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const count = readSync(descriptor, chunk, 0, chunk.length, null);
      if (count === 0) break;
      chunks.push(chunk.subarray(0, count));
      length += count;
    }
    return Buffer.concat(chunks, Math.min(length, MAX_FILE_BYTES + 1));
  } finally {
    closeSync(descriptor);
  }
}
