import { chmod, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { GatewayError } from "../errors/index.ts";

/** One backup in the gateway's own directory. */
export interface BackupFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** When the file was made here, wall clock, ms. */
  readonly createdMs: number;
}

const MAX_FILES = 20;
const NAME = /^\w[\w.-]{0,180}\.tar\.gz$/;

/** The directory of backups; a name in it never leads out of it. */
export class BackupFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Newest first. */
  async list(): Promise<readonly BackupFile[]> {
    const names = await readdir(this.#directory).catch(() => []);
    const files = await Promise.all(
      names.filter((name) => NAME.test(name)).map((name) => this.#describe(name)),
    );
    return files.sort((a, b) => b.createdMs - a.createdMs || (a.name < b.name ? 1 : -1));
  }

  /** @throws GatewayError BACKUP_NOT_FOUND */
  async read(name: string): Promise<Buffer> {
    try {
      return await readFile(this.#pathOf(name));
    } catch (err) {
      throw notFound(name, err);
    }
  }

  /**
   * Readable by the service only, complete or not there at all.
   * @throws GatewayError BACKUP_INVALID for a name that is taken or is none, LIMIT_REACHED
   */
  async write(name: string, bytes: Buffer): Promise<BackupFile> {
    if (!NAME.test(name)) {
      throw new GatewayError("BACKUP_INVALID", { reason: "its name is not NAME.tar.gz" });
    }
    const files = await this.list();
    if (files.some((file) => file.name === name)) {
      throw new GatewayError("BACKUP_INVALID", { reason: `there is a file ${name} already` });
    }
    if (files.length >= MAX_FILES) {
      throw new GatewayError("LIMIT_REACHED", { what: "backup files", max: MAX_FILES });
    }
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await chmod(this.#directory, 0o700);
    const path = this.#pathOf(name);
    const unfinished = `${path}.part`;
    try {
      await using file = await open(unfinished, "w", 0o600);
      await file.writeFile(bytes);
      await file.sync();
      await rename(unfinished, path);
    } catch (err) {
      await rm(unfinished, { force: true });
      throw err;
    }
    return this.#describe(name);
  }

  /** @throws GatewayError BACKUP_NOT_FOUND */
  async remove(name: string): Promise<void> {
    try {
      await rm(this.#pathOf(name));
    } catch (err) {
      throw notFound(name, err);
    }
  }

  async #describe(name: string): Promise<BackupFile> {
    const { size, mtimeMs } = await stat(this.#pathOf(name));
    return { name, sizeBytes: size, createdMs: Math.floor(mtimeMs) };
  }

  #pathOf(name: string): string {
    if (!NAME.test(name)) throw notFound(name);
    return join(this.#directory, name);
  }
}

function notFound(name: string, cause?: unknown): GatewayError {
  return new GatewayError("BACKUP_NOT_FOUND", { name }, { cause });
}
