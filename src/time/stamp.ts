import type { Clock } from "./clock.ts";

/**
 * When something was read, as it stands in messages that leave the device. Before the clock is set
 * `ts` may be any time: then `synced` is false, and boot id and uptime tell the time once the record
 * that says when this start was (`Stamper.origin`) is known.
 */
export interface Stamp {
  /** Wall clock, ms since 1970. */
  readonly ts: number;
  /** Left out once the clock is set. */
  readonly synced?: false;
  /** The kernel's id of this start of the device; null where there is none. */
  readonly boot_id?: string | null;
  /** Time since the start of the device, ms. */
  readonly uptime_ms?: number;
}

/** What a stamp is made from. */
export interface StamperDeps {
  readonly clock: Clock;
  /** Time since the start of the device, ms. */
  uptimeMs(): number;
  bootId(): string | null;
  /** Whether the clock was set from the network since the start; null where nobody knows. */
  isSynchronised(): boolean | null;
}

export interface Stamper {
  stamp(): Stamp;
  /** Whether the clock can be believed. */
  isTrusted(): boolean;
  /**
   * When this start of the device was by the clock that is set now, with its boot id: readings
   * stamped before are corrected to `started_at + uptime_ms`. null while the clock is not set, and
   * when no such reading was stamped.
   */
  origin(): { readonly boot_id: string | null; readonly started_at: number } | null;
}

/** Nothing that runs this can show an earlier time: a clock before it has not been set. */
const EARLIEST_MS = Date.UTC(2026, 0, 1);

export function createStamper(deps: StamperDeps): Stamper {
  const { clock } = deps;
  let hasMarked = false;

  function isTrusted(): boolean {
    return deps.isSynchronised() ?? clock.nowMs() >= EARLIEST_MS;
  }

  return {
    isTrusted,
    stamp() {
      const ts = Math.floor(clock.nowMs());
      if (isTrusted()) return { ts };
      hasMarked = true;
      const uptime_ms = Math.floor(deps.uptimeMs());
      return { ts, synced: false, boot_id: deps.bootId(), uptime_ms };
    },
    origin() {
      if (!hasMarked || !isTrusted()) return null;
      const started_at = Math.floor(clock.nowMs() - deps.uptimeMs());
      return { boot_id: deps.bootId(), started_at };
    },
  };
}
