import { isIPv6 } from "node:net";
import type { Clock } from "../../time/index.ts";

/** Slows down whoever tries passwords. */
export interface GuessBrake {
  /**
   * Resolves once this address may have a password checked: true, or false when too many of its
   * requests wait already.
   */
  admit(address: string): Promise<boolean>;
  failed(address: string): void;
  succeeded(address: string): void;
}

/** Typing errors are free. */
const FREE_FAILURES = 5;
const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 4_000;
/** Failures are forgotten after this long without another. */
const FORGET_MS = 600_000;
const MAX_ADDRESSES = 1_024;
const MAX_WAITING_PER_ADDRESS = 8;
const MAX_WAITING = 256;

interface Record {
  failures: number;
  lastMs: number;
  waiting: number;
}

/**
 * After five failures each further password from the same address waits 250 ms, doubling up to 4 s.
 * Answers are late rather than refused, so the administrator still gets in from an address that is
 * being abused. Bounded: 1,024 addresses, the one that failed longest ago is forgotten first.
 */
export function createGuessBrake(clock: Clock): GuessBrake {
  const records = new Map<string, Record>();
  let waiting = 0;

  const find = (address: string): Record | undefined => {
    const record = records.get(keyOf(address));
    const isOld = record !== undefined && clock.monotonicMs() - record.lastMs > FORGET_MS;
    return isOld ? undefined : record;
  };

  return {
    async admit(address) {
      const record = find(address);
      if (record === undefined || record.failures < FREE_FAILURES) return true;
      if (record.waiting >= MAX_WAITING_PER_ADDRESS || waiting >= MAX_WAITING) return false;
      const delayMs = FIRST_DELAY_MS * 2 ** (record.failures - FREE_FAILURES);
      record.waiting += 1;
      waiting += 1;
      await new Promise<void>((resolve) => {
        clock.after(Math.min(delayMs, MAX_DELAY_MS), resolve);
      });
      record.waiting -= 1;
      waiting -= 1;
      return true;
    },

    failed(address) {
      const key = keyOf(address);
      const record = find(address) ?? { failures: 0, lastMs: 0, waiting: 0 };
      record.failures += 1;
      record.lastMs = clock.monotonicMs();
      records.delete(key);
      records.set(key, record);
      const [oldest] = records.keys();
      if (records.size > MAX_ADDRESSES && oldest !== undefined) records.delete(oldest);
    },

    succeeded(address) {
      records.delete(keyOf(address));
    },
  };
}

/** One host may use any address of its /64 (RFC 4291 §2.5.1), so IPv6 counts by network. */
function keyOf(address: string): string {
  if (!isIPv6(address) || address.includes(".")) return address;
  const [head = "", tail = ""] = address.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === "" ? [] : tail.split(":");
  const zeros = address.includes("::") ? Array(8 - left.length - right.length).fill("0") : [];
  return [...left, ...zeros, ...right].slice(0, 4).join(":");
}
