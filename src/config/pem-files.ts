import { createHash } from "node:crypto";
import { join } from "node:path";
import { GatewayError } from "../errors/index.ts";
import { readConfigFile } from "./config-files.ts";
import { type DurableFiles, namesIn } from "./durable-files.ts";
import { MASK } from "./format.ts";

/** What a PEM file holds. */
export type PemKind = "key" | "cert" | "ca";

/** The largest PEM text, in bytes: a bundle of some 150 CA certificates. */
const MAX_PEM_BYTES = 262_144;

const NAME = /^(?:key|cert|ca)-[0-9a-f]{32}\.pem$/;

/**
 * Keeps a PEM text under a name made of its content, so that the files an older configuration names
 * stay as they were. Returns the path.
 * @throws GatewayError CONFIG_CHECK_FAILED for what is not PEM, CONFIG_WRITE_FAILED.
 */
export async function writePem(
  files: DurableFiles,
  directory: string,
  kind: PemKind,
  pem: string,
): Promise<string> {
  const bytes = Buffer.from(pem);
  const refuse = (reason: string) =>
    new GatewayError("CONFIG_CHECK_FAILED", { key: kind, value: MASK, reason });
  if (bytes.length > MAX_PEM_BYTES) {
    throw refuse(`it has ${bytes.length} bytes, at most ${MAX_PEM_BYTES} are kept`);
  }
  // RFC 7468 §2. Whether key and certificate fit is the business of whoever can read them.
  if (!pem.includes("-----BEGIN ") || !pem.includes("-----END ")) {
    throw refuse("it is not PEM text");
  }
  const digest = createHash("sha256").update(bytes).digest("hex").slice(0, 32);
  const path = join(directory, `${kind}-${digest}.pem`);
  if (isSame(path, bytes)) return path;
  await files.makeDirectory(directory);
  await files.write(path, bytes);
  return path;
}

/** Removes the kept PEM files whose names occur in none of `texts`. */
export async function prunePem(
  files: DurableFiles,
  directory: string,
  texts: readonly string[],
): Promise<void> {
  for (const name of await namesIn(directory)) {
    if (NAME.test(name) && !texts.some((text) => text.includes(name))) {
      await files.remove(join(directory, name));
    }
  }
}

function isSame(path: string, bytes: Buffer): boolean {
  try {
    return readConfigFile(path)?.equals(bytes) === true;
  } catch {
    return false;
  }
}
