import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";

/** What raises and clears alarms by name. */
export interface AlarmBell {
  raise(name: string, message: string, details?: Record<string, number | string>): void;
  clear(name: string): void;
}

export interface TlsTroublesDeps {
  readonly log: Log;
  readonly alarms?: AlarmBell | undefined;
}

/** Listeners whose TLS files cannot be used: told once each, in the log and as an alarm. */
export class TlsTroubles {
  readonly #deps: TlsTroublesDeps;
  readonly #reasons = new Map<string, string>();

  constructor(deps: TlsTroublesDeps) {
    this.#deps = deps;
  }

  /** Whether this is known already, in the same words. */
  isKnown(listener: string, err: unknown): boolean {
    return this.#reasons.get(listener) === reasonOf(err);
  }

  note(listener: string, err: unknown, isOpen: boolean): void {
    if (this.isKnown(listener, err)) return;
    const reason = reasonOf(err);
    this.#reasons.set(listener, reason);
    const message = isOpen
      ? "a listener's TLS files cannot be used, the old ones stay"
      : "a listener stays closed, its TLS files cannot be used";
    this.#deps.log.error({ listener, err: reason }, message);
    const state = isOpen ? "goes on with its old TLS files" : "is closed";
    this.#deps.alarms?.raise(alarmOf(listener), `Listener ${listener} ${state}: ${reason}`, {
      listener,
      reason,
    });
  }

  over(listener: string): void {
    if (this.#reasons.delete(listener)) this.#deps.alarms?.clear(alarmOf(listener));
  }

  /** Whether one of them is not among `open`. */
  hasClosed(open: ReadonlyMap<string, unknown>): boolean {
    return [...this.#reasons.keys()].some((listener) => !open.has(listener));
  }

  /** Those not of the configuration any more are nobody's trouble. */
  keepOnly(listeners: ReadonlySet<string>): void {
    for (const listener of [...this.#reasons.keys()]) {
      if (!listeners.has(listener)) this.over(listener);
    }
  }
}

function alarmOf(listener: string): string {
  return `listener_tls/${listener}`;
}
