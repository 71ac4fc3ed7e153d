import { closeSync, openSync, readSync, writeFileSync, writeSync } from "node:fs";

/** Operations that can fail, in the order of `enum kind` in disk-shim.c. */
export const OPERATIONS = ["write", "sync", "rename", "open", "unlink", "make"] as const;

export type Operation = (typeof OPERATIONS)[number];

/** Linux errno numbers. */
const ERRNO = { EIO: 5, ENOSPC: 28, EROFS: 30 } as const;

/** Which operations fail, and how. */
export interface FaultPlan {
  readonly operations: readonly Operation[];
  /** The first that fails, counted from 1 from now on. */
  readonly first: number;
  /** How many fail from there on; Infinity until `heal`. */
  readonly failures: number;
  readonly error: keyof typeof ERRNO;
  /** A write that fails has done half of its work. */
  readonly isTorn?: boolean;
}

/** Byte offsets in `struct control` of disk-shim.c. */
const AT = (() => {
  const seen = 0;
  const numbers = OPERATIONS.length * 8;
  return {
    seen,
    failed: numbers,
    bytesWritten: numbers + 8,
    first: numbers + 16,
    failures: numbers + 24,
    matched: numbers + 32,
    freeBytes: numbers + 40,
    kinds: numbers + 48,
    error: numbers + 52,
    isTorn: numbers + 56,
    isLimited: numbers + 60,
    syncDelayUs: numbers + 64,
    noSync: numbers + 68,
    isOutOfInodes: numbers + 72,
  } as const;
})();

const CONTROL_BYTES = 4096;

/** What a test can see and set while programs run. */
export class DiskControl {
  readonly #file: number;

  /** @param path the file that the shim maps */
  constructor(path: string) {
    this.#file = openSync(path, "r+");
  }

  /** Makes the file. */
  static create(path: string): DiskControl {
    writeFileSync(path, Buffer.alloc(CONTROL_BYTES));
    return new DiskControl(path);
  }

  close(): void {
    closeSync(this.#file);
  }

  /** From now on operations fail by plan. */
  fail(plan: FaultPlan): void {
    this.heal();
    this.#set64(AT.failed, 0n);
    const kinds = plan.operations.reduce((set, name) => set | (1 << OPERATIONS.indexOf(name)), 0);
    this.#set32(AT.kinds, kinds);
    this.#set32(AT.error, ERRNO[plan.error]);
    this.#set32(AT.isTorn, plan.isTorn ? 1 : 0);
    this.#set64(AT.matched, 0n);
    const { failures } = plan;
    this.#set64(AT.failures, Number.isFinite(failures) ? BigInt(failures) : (1n << 63n) - 1n);
    this.#set64(AT.first, BigInt(plan.first));
  }

  /**
   * From now on operations fail by plan, until `forMs` after the first failure or until what this
   * returns is called.
   */
  failFor(plan: FaultPlan, forMs: number): () => void {
    this.fail(plan);
    let firstMs = Number.POSITIVE_INFINITY;
    const watch = setInterval(() => {
      if (this.failed > 0) firstMs = Math.min(firstMs, performance.now());
      if (performance.now() - firstMs > forMs) this.heal();
    }, 10);
    return () => {
      clearInterval(watch);
      this.heal();
    };
  }

  /** From now on nothing fails any more. */
  heal(): void {
    this.#set64(AT.first, 0n);
  }

  /** How many bytes the disk still takes, whatever is removed; Infinity = as many as there is room for. */
  set freeBytes(value: number) {
    const isLimited = Number.isFinite(value);
    if (isLimited) this.#set64(AT.freeBytes, BigInt(value));
    this.#set32(AT.isLimited, isLimited ? 1 : 0);
  }

  /** Whether no file can be made any more. */
  set isOutOfInodes(value: boolean) {
    this.#set32(AT.isOutOfInodes, value ? 1 : 0);
  }

  /** How long an fsync takes at least. */
  set syncDelayUs(value: number) {
    this.#set32(AT.syncDelayUs, value);
  }

  /** fsync does nothing, where a test needs no durable files but speed. */
  set isSyncing(value: boolean) {
    this.#set32(AT.noSync, value ? 0 : 1);
  }

  /** Operations that were made to fail since the plan was set. */
  get failed(): number {
    return Number(this.#get64(AT.failed));
  }

  get bytesWritten(): number {
    return Number(this.#get64(AT.bytesWritten));
  }

  /** Operations of a kind so far. */
  count(operation: Operation): number {
    return Number(this.#get64(AT.seen + 8 * OPERATIONS.indexOf(operation)));
  }

  #get64(at: number): bigint {
    const bytes = Buffer.alloc(8);
    readSync(this.#file, bytes, 0, 8, at);
    return bytes.readBigUInt64LE();
  }

  #set64(at: number, value: bigint): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(value);
    writeSync(this.#file, bytes, 0, 8, at);
  }

  #set32(at: number, value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    writeSync(this.#file, bytes, 0, 4, at);
  }
}
