/** Delays between attempts that keep failing, in milliseconds. */
export interface BackoffOptions {
  readonly minMs: number;
  readonly maxMs: number;
  /** A number in [0, 1); a test passes its own. */
  readonly random?: () => number;
}

export interface Backoff {
  /** The delay before the next attempt: doubled each time, capped, a random half taken off. */
  nextMs(): number;
  /** The last attempt succeeded: the next delay is the shortest again. */
  reset(): void;
}

/**
 * Exponential back-off with jitter: a delay lies in [half, full] of min·2ⁿ, at most `maxMs`, so that
 * a thousand gateways do not return to the cloud in the same second.
 */
export function createBackoff({ minMs, maxMs, random = Math.random }: BackoffOptions): Backoff {
  let fullMs = minMs;
  return {
    nextMs() {
      const delayMs = fullMs / 2 + (random() * fullMs) / 2;
      fullMs = Math.min(fullMs * 2, maxMs);
      return delayMs;
    },
    reset() {
      fullMs = minMs;
    },
  };
}
