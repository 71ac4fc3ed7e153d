import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { GatewayError, isGatewayError, reasonOf } from "../errors/index.ts";
import { writeBundle } from "./upload.ts";

/** What `tidegate update` is told. */
export interface UpdateCommand {
  /** A file, or an address that begins with `http://` or `https://`. */
  readonly from: string;
  readonly allowDowngrade: boolean;
  readonly reboot: boolean;
}

/** The appliance's parts that have to do with it. */
export interface Appliance {
  /** The program that checks and installs a bundle. */
  readonly program: string;
  /** Where it keeps its state; a download is put there, and removed by it. */
  readonly stateDir: string;
}

const DOWNLOAD = "download.new";
const LIMIT_MS = 1_800_000;

/**
 * Installs an update as root and says on standard output how far it is. An address is downloaded first;
 * a server's certificate is verified as always, and the bundle's signature whatever way it came.
 * @returns the exit code: 0 installed, 1 failed, 65 refused, 75 another one is under way
 * @throws GatewayError UPDATE_NO_APPLIANCE, UPDATE_DOWNLOAD_FAILED, UPDATE_NO_SPACE, UPDATE_TOO_LARGE
 */
export async function installUpdate(
  { from, allowDowngrade, reboot }: UpdateCommand,
  { program, stateDir }: Appliance,
): Promise<number> {
  const isThere = await access(program).then(
    () => true,
    () => false,
  );
  if (!isThere) throw new GatewayError("UPDATE_NO_APPLIANCE", {});
  const isAddress = /^https?:\/\//i.test(from);
  const file = isAddress ? await download(from, stateDir) : resolve(from);
  const child = spawn(
    program,
    [
      file,
      ...["--source", "cli"],
      ...(allowDowngrade ? ["--allow-downgrade"] : []),
      ...(reboot ? [] : ["--no-reboot"]),
    ],
    { stdio: "inherit" },
  );
  const [code] = (await once(child, "close")) as [number | null];
  if (isAddress) await rm(file, { force: true });
  return code ?? 1;
}

/** @returns the file it was written to */
async function download(url: string, directory: string): Promise<string> {
  const path = join(directory, DOWNLOAD);
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(LIMIT_MS) });
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw new Error(`the server answers ${response.status}`);
    }
    const announced = Number(response.headers.get("content-length") ?? Number.NaN);
    const sizeBytes = Number.isSafeInteger(announced) ? announced : null;
    // Node's stream and the web's of its types differ in what nobody uses here.
    const stream = Readable.fromWeb(response.body as ReadableStream);
    try {
      await writeBundle(path, directory, { stream, sizeBytes });
    } finally {
      stream.destroy();
    }
    return path;
  } catch (err) {
    await rm(path, { force: true });
    if (isGatewayError(err)) throw err;
    const cause = err instanceof Error && err.cause !== undefined ? err.cause : err;
    throw new GatewayError("UPDATE_DOWNLOAD_FAILED", { url, reason: reasonOf(cause) });
  }
}
