import { readFileSync } from "node:fs";

/**
 * One operation as disk-shim.c recorded it. `atNs` is the time it began, on the clock of
 * `process.hrtime`. Paths are relative to the recorded folder, "" is the folder itself; `file` names
 * one opened file.
 */
export type DiskOperation = { readonly atNs: bigint } & (
  | {
      readonly kind: "open";
      readonly file: string;
      readonly path: string;
      readonly isCreating: boolean;
      readonly isTruncating: boolean;
    }
  | {
      readonly kind: "write";
      readonly file: string;
      readonly offset: number;
      readonly data: Buffer;
    }
  | { readonly kind: "truncate"; readonly file: string; readonly size: number }
  /** What was written to the file before `sync-begin` is on the disk from `sync-end` on. */
  | { readonly kind: "sync-begin" | "sync-end"; readonly file: string }
  | { readonly kind: "rename" | "link"; readonly from: string; readonly to: string }
  | { readonly kind: "unlink" | "mkdir" | "rmdir"; readonly path: string }
);

const HEADER_BYTES = 48;

/** Values of O_CREAT and O_TRUNC on Linux, but for MIPS. */
const O_CREAT = 0o100;
const O_TRUNC = 0o1000;

/** Reads a recording of what happened below `root`. */
export function readRecording(path: string, root: string): DiskOperation[] {
  const bytes = readFileSync(path);
  const operations: DiskOperation[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length; at += bytes.readUInt32LE(at)) {
    operations.push(readOperation(bytes, at, root));
  }
  return operations;
}

function readOperation(bytes: Buffer, at: number, root: string): DiskOperation {
  const pid = bytes.readUInt32LE(at + 4);
  const atNs = bytes.readBigUInt64LE(at + 8);
  const record = bytes.readUInt32LE(at + 16);
  const file = `${pid}:${bytes.readInt32LE(at + 20)}`;
  const number = Number(bytes.readBigInt64LE(at + 24));
  const middle = at + HEADER_BYTES + bytes.readUInt32LE(at + 40);
  const first = bytes.subarray(at + HEADER_BYTES, middle);
  const second = bytes.subarray(middle, middle + bytes.readUInt32LE(at + 44));
  const path = (text: Buffer) => text.toString().slice(root.length + 1);
  switch (record) {
    case 1: {
      const isCreating = (number & O_CREAT) !== 0;
      const isTruncating = (number & O_TRUNC) !== 0;
      return { atNs, kind: "open", file, path: path(first), isCreating, isTruncating };
    }
    case 2:
      return { atNs, kind: "write", file, offset: number, data: first };
    case 3:
      return { atNs, kind: "sync-begin", file };
    case 4:
      return { atNs, kind: "sync-end", file };
    case 5:
      return { atNs, kind: "truncate", file, size: number };
    case 6:
      return { atNs, kind: "rename", from: path(first), to: path(second) };
    case 7:
      return { atNs, kind: "link", from: path(first), to: path(second) };
    case 8:
      return { atNs, kind: "unlink", path: path(first) };
    case 9:
      return { atNs, kind: "mkdir", path: path(first) };
    case 10:
      return { atNs, kind: "rmdir", path: path(first) };
    default:
      throw new Error(`unknown record ${record} in a recording`);
  }
}
