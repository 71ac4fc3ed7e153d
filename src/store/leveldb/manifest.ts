import { ByteReader, MalformedRecord } from "../bytes.ts";
import { readLog } from "./log-file.ts";

/** Tags of a version edit (LevelDB db/version_edit.cc). */
const TAG = {
  comparator: 1,
  logNumber: 2,
  nextFile: 3,
  lastSequence: 4,
  compactPointer: 5,
  deletedFile: 6,
  newFile: 7,
  previousLog: 9,
} as const;

/** The files a LevelDB folder consists of. */
export interface Manifest {
  /** Size of each table by its number. */
  readonly tables: ReadonlyMap<number, number>;
  /** The oldest log that holds what is not in a table. */
  readonly log: number;
}

/** Reads a manifest; null when it makes no sense, which LevelDB itself will say. */
export function readManifest(file: Buffer): Manifest | null {
  const tables = new Map<number, number>();
  let log = 0;
  try {
    for (const entry of readLog(file).entries) {
      const from = new ByteReader(entry);
      while (!from.isAtEnd) log = readEdit(from, tables) ?? log;
    }
  } catch (err) {
    if (err instanceof MalformedRecord) return null;
    throw err;
  }
  return { tables, log };
}

/** Reads one field of an edit; gives the log's number where it names one. */
function readEdit(from: ByteReader, tables: Map<number, number>): number | null {
  switch (from.varint()) {
    case TAG.comparator:
      from.bytes();
      return null;
    case TAG.logNumber:
      return from.varint();
    case TAG.nextFile:
    case TAG.lastSequence:
    case TAG.previousLog:
      from.varint();
      return null;
    case TAG.compactPointer:
      from.varint();
      from.bytes();
      return null;
    case TAG.deletedFile:
      from.varint();
      tables.delete(from.varint());
      return null;
    case TAG.newFile: {
      from.varint();
      const number = from.varint();
      tables.set(number, from.varint());
      from.bytes();
      from.bytes();
      return null;
    }
    default:
      throw new MalformedRecord("unknown tag in a manifest");
  }
}
