import { setTimeout as delay } from "node:timers/promises";

/**
 * Waits until `look` returns something other than undefined or false, asking every 20 ms, and
 * returns it. Rejects after `deadlineMs` with `what` in its message.
 */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  deadlineMs = 10_000,
): Promise<T> {
  const endMs = performance.now() + deadlineMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > endMs) throw new Error(`waited ${deadlineMs} ms for ${what}`);
    await delay(20);
  }
}
