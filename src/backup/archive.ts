import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import { extract, pack } from "tar-stream";
import { GatewayError, reasonOf } from "../errors/index.ts";

/** Unpacked bytes of one archive: what is read is in memory. */
const MAX_UNPACKED_BYTES = 64 * 1024 * 1024;
const MAX_ENTRIES = 1000;

/** The only names there are; none leads anywhere. */
const NAME =
  /^(?:META\.json|config\.json|tables\/[a-z_]{1,32}\.ndjson|pem\/(?:key|cert|ca)-[0-9a-f]{32}\.pem)$/;

/** What an archive says about itself, in `META.json`. */
export interface ArchiveMeta {
  readonly product: "tidegate";
  /** Of this layout. */
  readonly format: 1;
  readonly version: string;
  readonly node: string;
  readonly createdMs: number;
  /** SHA-256 of every other entry, hexadecimal. */
  readonly digests: Readonly<Record<string, string>>;
}

/** Entries by name, `META.json` apart. */
export interface Archive {
  readonly meta: Omit<ArchiveMeta, "product" | "format" | "digests">;
  readonly entries: ReadonlyMap<string, Buffer>;
}

/** A tar.gz of an archive's entries, each with mode 0600. */
export async function writeArchive({ meta, entries }: Archive): Promise<Buffer> {
  const digests = Object.fromEntries([...entries].map(([name, bytes]) => [name, digestOf(bytes)]));
  const full: ArchiveMeta = { product: "tidegate", format: 1, ...meta, digests };
  const tar = pack();
  const written = buffer(tar);
  const mtime = new Date(meta.createdMs);
  for (const [name, bytes] of [["META.json", jsonOf(full)] as const, ...entries]) {
    tar.entry({ name, mode: 0o600, mtime }, bytes);
  }
  tar.finalize();
  return promisify(gzip)(await written);
}

/** @throws GatewayError BACKUP_INVALID for what `writeArchive` has not written, or is damaged */
export async function readArchive(bytes: Buffer): Promise<Archive> {
  const entries = new Map<string, Buffer>();
  try {
    const unpacked = await unzip(bytes, { maxOutputLength: MAX_UNPACKED_BYTES });
    const tar = extract();
    const fed = Readable.from([unpacked]).pipe(tar);
    for await (const entry of fed) {
      const { name, type } = entry.header;
      if (type !== "file" || !NAME.test(name)) throw new Error("it holds something else");
      if (entries.size >= MAX_ENTRIES || entries.has(name)) throw new Error("too many entries");
      entries.set(name, await buffer(entry));
    }
  } catch (err) {
    throw invalid(reasonOf(err), err);
  }
  const meta = readMeta(entries.get("META.json"));
  entries.delete("META.json");
  if (Object.keys(meta.digests).length !== entries.size) throw invalid("entries are missing");
  for (const [name, content] of entries) {
    if (meta.digests[name] !== digestOf(content)) throw invalid(`${name} was changed`);
  }
  const { version, node, createdMs } = meta;
  return { meta: { version, node, createdMs }, entries };
}

export function invalid(reason: string, cause?: unknown): GatewayError {
  return new GatewayError("BACKUP_INVALID", { reason }, { cause });
}

const unzip: (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer> =
  promisify(gunzip);

function readMeta(bytes: Buffer | undefined): ArchiveMeta {
  try {
    const raw: unknown = JSON.parse(bytes?.toString() ?? "");
    if (isMeta(raw)) return raw;
  } catch {
    // Reported below.
  }
  throw invalid("it was not made by this gateway");
}

function isMeta(raw: unknown): raw is ArchiveMeta {
  if (typeof raw !== "object" || raw === null) return false;
  const { product, format, version, node, createdMs, digests } = raw as Record<string, unknown>;
  return (
    product === "tidegate" &&
    format === 1 &&
    typeof version === "string" &&
    typeof node === "string" &&
    typeof createdMs === "number" &&
    typeof digests === "object" &&
    digests !== null
  );
}

function jsonOf(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function digestOf(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
