import type { Log } from "../log/index.ts";
import type { Clock } from "../time/index.ts";

/** A log for things that go on repeating. */
export interface RepeatLog {
  /**
   * Writes the first line of its kind, then one a period with the number left out since. Lines are
   * of one kind when their message and `kind` agree.
   */
  say(level: "info" | "warn", kind: string, fields: object, message: string): void;
}

const PERIOD_MS = 600_000;

/** Kinds remembered at once; texts from the network decide how many there are. */
const MAX_KINDS = 64;

/** Keeps a dead link, or one that flaps, from filling the log and wearing out the flash. */
export function createRepeatLog(deps: { log: Log; clock: Clock }): RepeatLog {
  const kinds = new Map<string, { sinceMs: number; leftOut: number }>();
  return {
    say(level, kind, fields, message) {
      const key = `${message}\n${kind}`;
      const nowMs = deps.clock.monotonicMs();
      const seen = kinds.get(key);
      if (seen !== undefined && nowMs - seen.sinceMs < PERIOD_MS) {
        seen.leftOut += 1;
        return;
      }
      kinds.delete(key);
      if (kinds.size >= MAX_KINDS) {
        for (const oldest of kinds.keys()) {
          kinds.delete(oldest);
          break;
        }
      }
      kinds.set(key, { sinceMs: nowMs, leftOut: 0 });
      const repeated = seen?.leftOut ?? 0;
      deps.log[level](repeated > 0 ? { ...fields, repeated } : fields, message);
    },
  };
}
