import { readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { type Config, isKeyRow, SCHEMA, type SchemaTree } from "../config/index.ts";
import { GatewayError } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Clock } from "../time/index.ts";
import { invalid, readArchive, writeArchive } from "./archive.ts";
import { type BackupFile, BackupFiles } from "./backup-files.ts";

export type { BackupFile };

/** A record table of the store. */
export interface BackupTable {
  entries(): AsyncIterable<readonly (readonly [key: string, value: Buffer])[]>;
  put(key: string, value: Buffer): void;
  delete(key: string): void;
  committed(): Promise<void>;
}

type Values = Readonly<Record<string, unknown>>;

export interface BackupDeps {
  readonly log: Log;
  readonly clock: Clock;
  /** What a backup holds beside the configuration, by name. */
  readonly tables: Readonly<Record<string, BackupTable>>;
  readonly config: {
    stored(): Config;
    /** Checks and stores a change as a whole. */
    change(patch: Values): Promise<void>;
    /** Keeps PEM text in a file and answers its path. */
    putPem(kind: "key" | "cert" | "ca", pem: string): Promise<string>;
  };
  /** What was read takes effect by a restart. */
  requestRestart(): void;
}

/**
 * Backups of the configuration (passwords as hashes, PEM files with their text) and of tables that
 * the API manages, as tar.gz files of mode 0600 in a directory of their own, at most 20. Reading one
 * back checks all of it first: digests, names, rows, and the configuration as any change; then the
 * gateway restarts with it.
 */
export interface Backup {
  /** Names of the configuration's groups and of the tables; all of both when left out. */
  export(wanted: {
    readonly roots?: readonly string[];
    readonly tables?: readonly string[];
  }): Promise<BackupFile>;
  /** Newest first. */
  files(): Promise<readonly BackupFile[]>;
  /** Takes a backup made elsewhere. @throws GatewayError BACKUP_INVALID, LIMIT_REACHED */
  put(name: string, bytes: Buffer): Promise<BackupFile>;
  /** @throws GatewayError BACKUP_NOT_FOUND */
  read(name: string): Promise<Buffer>;
  /** @throws GatewayError BACKUP_NOT_FOUND */
  remove(name: string): Promise<void>;
  /** @throws GatewayError BACKUP_NOT_FOUND, BACKUP_INVALID, and as a change of the configuration */
  import(name: string): Promise<void>;
}

/** Rows handled in one turn of the loop. */
const SLICE = 200;
const MAX_ROWS = 200_000;
const MAX_KEY_CHARACTERS = 65_535;
const PEM_NAME = /^(key|cert|ca)-[0-9a-f]{32}\.pem$/;

export function createBackup(
  deps: BackupDeps,
  cfg: { readonly directory: string; readonly version: string; readonly pemDirectory: string },
): Backup {
  const { clock, config, tables } = deps;
  const log = deps.log.child({ part: "backup" });
  const files = new BackupFiles(cfg.directory);
  let turn: Promise<unknown> = Promise.resolve();

  function inTurn<T>(task: () => Promise<T>): Promise<T> {
    const done = turn.then(task);
    turn = done.catch(() => undefined);
    return done;
  }

  /** The texts of the PEM files the configuration names, by entry. */
  async function pemsOf(values: Values): Promise<Map<string, Buffer>> {
    const found = new Map<string, Buffer>();
    for (const path of textsIn(values)) {
      const isOurs = dirname(path) === cfg.pemDirectory && PEM_NAME.test(basename(path));
      if (isOurs) found.set(`pem/${basename(path)}`, await readFile(path));
    }
    return found;
  }

  async function rowsOf(table: BackupTable): Promise<Buffer> {
    const lines: string[] = [];
    for await (const slice of table.entries()) {
      for (const [key, value] of slice) {
        lines.push(`${JSON.stringify([key, value.toString("base64")])}\n`);
      }
    }
    return Buffer.from(lines.join(""));
  }

  /** The PEM texts of an archive become files here; the paths in its configuration change to them. */
  async function withPems(values: unknown, entries: ReadonlyMap<string, Buffer>): Promise<unknown> {
    const paths = new Map<string, string>();
    for (const path of textsIn(values)) {
      const name = basename(path);
      const kind = PEM_NAME.exec(name)?.[1];
      const pem = entries.get(`pem/${name}`);
      if (pem === undefined || (kind !== "key" && kind !== "cert" && kind !== "ca")) continue;
      paths.set(path, await config.putPem(kind, pem.toString()));
    }
    return mapTexts(values, (text) => paths.get(text) ?? text);
  }

  async function replaceRows(table: BackupTable, rows: ReadonlyMap<string, Buffer>): Promise<void> {
    for await (const slice of table.entries()) {
      for (const [key] of slice) if (!rows.has(key)) table.delete(key);
    }
    let count = 0;
    for (const [key, value] of rows) {
      table.put(key, value);
      if (++count % SLICE === 0) await nextTurn();
    }
    await table.committed();
  }

  async function load(name: string): Promise<void> {
    const { entries } = await readArchive(await files.read(name));
    const contents = new Map<string, ReadonlyMap<string, Buffer>>();
    for (const [entry, bytes] of entries) {
      const table = /^tables\/(\w+)\.ndjson$/.exec(entry)?.[1];
      if (table === undefined) continue;
      if (!Object.hasOwn(tables, table)) throw invalid(`table ${table} is not known here`);
      contents.set(table, await readRows(bytes));
    }
    const text = entries.get("config.json");
    const before = config.stored();
    if (text !== undefined) {
      const values = await withPems(readJson(text), entries);
      if (!isTree(values)) throw invalid("its configuration is none");
      await config.change(replacing(SCHEMA, values, before));
    }
    try {
      for (const [table, rows] of contents) {
        const target = tables[table];
        if (target !== undefined) await replaceRows(target, rows);
      }
    } catch (err) {
      const now = config.stored();
      await config.change(replacing(SCHEMA, before, now));
      throw err;
    }
    log.info({ name, tables: [...contents.keys()] }, "backup read back");
    deps.requestRestart();
  }

  return {
    export: ({ roots, tables: names }) =>
      inTurn(async () => {
        requireKnown("table_sets", names, Object.keys(tables));
        requireKnown("root_keys", roots, Object.keys(SCHEMA));
        const stored: Values = config.stored();
        const values = Object.fromEntries(
          Object.entries(stored).filter(([root]) => roots === undefined || roots.includes(root)),
        );
        const entries = new Map<string, Buffer>();
        entries.set("config.json", Buffer.from(JSON.stringify(values)));
        for (const [name, bytes] of await pemsOf(values)) entries.set(name, bytes);
        for (const name of names ?? Object.keys(tables)) {
          const table = tables[name];
          if (table !== undefined) entries.set(`tables/${name}.ndjson`, await rowsOf(table));
        }
        const createdMs = clock.nowMs();
        const meta = { version: cfg.version, node: config.stored().node_name, createdMs };
        const bytes = await writeArchive({ meta, entries });
        const stamp = new Date(createdMs).toISOString().replace(/[T:]/g, "-").slice(0, -1);
        const file = await files.write(`emqx-export-${stamp}.tar.gz`, bytes);
        log.info({ name: file.name, bytes: file.sizeBytes }, "backup written");
        return file;
      }),
    files: () => files.list(),
    put: (name, bytes) =>
      inTurn(async () => {
        await readArchive(bytes);
        return files.write(name, bytes);
      }),
    read: (name) => files.read(name),
    remove: (name) => inTurn(() => files.remove(name)),
    import: (name) => inTurn(() => load(name)),
  };
}

/** `wanted` as a change after which the groups in it are exactly so: what maps have beside it goes. */
function replacing(schema: SchemaTree, wanted: Values, now: Values): Values {
  return Object.fromEntries(
    Object.entries(wanted).map(([name, value]) => {
      const node = Object.hasOwn(schema, name) ? schema[name] : undefined;
      const was = Object.hasOwn(now, name) ? now[name] : undefined;
      if (node === undefined || !isTree(value) || !isTree(was)) return [name, value];
      if (!isKeyRow(node)) return [name, replacing(node, value, was)];
      if (node.format.shape.kind !== "map") return [name, value];
      const gone = Object.keys(was).filter((key) => !Object.hasOwn(value, key));
      return [name, { ...value, ...Object.fromEntries(gone.map((key) => [key, null])) }];
    }),
  );
}

async function readRows(bytes: Buffer): Promise<ReadonlyMap<string, Buffer>> {
  const rows = new Map<string, Buffer>();
  let at = 0;
  while (at < bytes.length) {
    const end = bytes.indexOf(10, at);
    if (end < 0) throw invalid("a table is cut off");
    const row = readJson(bytes.subarray(at, end));
    const [key, value]: readonly unknown[] = Array.isArray(row) ? row : [];
    const isRow =
      typeof key === "string" &&
      key.isWellFormed() &&
      key.length <= MAX_KEY_CHARACTERS &&
      typeof value === "string";
    if (!isRow || rows.size >= MAX_ROWS) throw invalid("a table has rows that are none");
    rows.set(key, Buffer.from(value, "base64"));
    if (rows.size % SLICE === 0) await nextTurn();
    at = end + 1;
  }
  return rows;
}

function readJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch (err) {
    throw invalid("it holds what is no JSON", err);
  }
}

function* textsIn(value: unknown): Iterable<string> {
  if (typeof value === "string") yield value;
  else if (typeof value === "object" && value !== null) {
    for (const member of Object.values(value)) yield* textsIn(member);
  }
}

function mapTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === "string") return change(value);
  if (Array.isArray(value)) return value.map((item: unknown) => mapTexts(item, change));
  if (!isTree(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, mapTexts(member, change)]),
  );
}

function requireKnown(
  field: string,
  wanted: readonly string[] | undefined,
  known: readonly string[],
): void {
  const unknown = wanted?.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const expected = `names out of ${known.join(", ")}`;
  throw new GatewayError("PARAMETER_INVALID", { field, value: unknown, expected });
}

function isTree(value: unknown): value is Values {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
