const SIZES = [2048, 16_384, 65_536] as const;
/** Buffers of each size that wait for their next use. */
const KEPT = [512, 128, 32] as const;

/** Payloads from this size on are handed to the socket as they are; copying a smaller one costs less. */
export const LARGE_BYTES = 32_768;

/** Buffers that are used again and again, so that receiving and sending make little garbage. */
export class BufferPool {
  readonly largest = SIZES[2];
  readonly #free: Buffer[][] = SIZES.map(() => []);

  /** A buffer of at least `length` bytes; one over the largest size is made for the purpose. */
  take(length: number): Buffer {
    for (const [index, size] of SIZES.entries()) {
      if (length <= size) return this.#free[index]?.pop() ?? Buffer.allocUnsafeSlow(size);
    }
    return Buffer.allocUnsafeSlow(length);
  }

  /** Takes back a buffer nobody reads any more. */
  give(buf: Buffer): void {
    for (const [index, size] of SIZES.entries()) {
      const free = this.#free[index];
      if (buf.length === size && free !== undefined && free.length < (KEPT[index] ?? 0)) {
        free.push(buf);
        return;
      }
    }
  }
}
