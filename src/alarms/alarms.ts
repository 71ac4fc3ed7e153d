import type { Log } from "../log/index.ts";
import { type Bus, topic } from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import { type Alarm, type AlarmDetails, type AlarmEntry, bounded, cutName } from "./alarm.ts";
import { type AlarmTable, Journal, type PastEntry, type Restored } from "./journal.ts";

/** What alarms need from the others. */
export interface AlarmsDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly bus: Pick<Bus, "publish">;
  /** Where alarms outlive a restart, and time that goes on over it; used from the start on. */
  readonly store?: {
    table(name: string): AlarmTable;
    /** Gateway time, ms: it never jumps. */
    nowMs(): number;
  };
}

/** What can be changed while alarms are watched. */
export interface AlarmSettings {
  /** Where an alarm is told when it is raised and cleared. */
  readonly actions: readonly ("log" | "publish")[];
  /** Most alarms in the history. */
  readonly size_limit: number;
  /** How long an alarm stays in the history, seconds. */
  readonly validity_period_s: number;
}

export interface AlarmsConfig {
  /** The topic level that names this gateway below `$SYS/brokers`. */
  readonly node: string;
  /** The newest settings. */
  settings(): AlarmSettings;
}

/** What is wrong now, and what was. */
export interface Alarms {
  /** Takes over what was kept over the restart. */
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /**
   * Raises an alarm. While it is active the same call changes nothing; another message is told
   * again, under the time of the first one, so readings that change belong into `details`.
   * A latched alarm stays over a restart until `forceClear`.
   */
  raise(name: string, message: string, details?: AlarmDetails, how?: { isLatched?: boolean }): void;
  /** Ends an alarm; harmless when it is not active. */
  clear(name: string): void;
  /** Ends an alarm at somebody's wish; false when it is not active. Its source may raise it anew. */
  forceClear(name: string): boolean;
  /** Newest first. */
  active(): readonly Alarm[];
  /** Alarms that are over, newest first. */
  history(): readonly Alarm[];
  clearHistory(): void;
}

/** More alarms than this at once tell nobody anything; further ones are logged only. */
const MAX_ACTIVE = 1000;

/** How often the history is looked at for what is too old. */
const EXPIRE_EVERY_MS = 60_000;

/** An alarm from before a restart that nobody has raised again by then is over. */
const SETTLE_MS = 120_000;

interface Active extends AlarmEntry {
  /** From before the restart, and not raised again since. */
  readonly isInherited: boolean;
}

/**
 * The alarms of one gateway. Each is told in the log and as JSON on
 * `$SYS/brokers/<node>/alarms/activate` and `…/deactivate` (`name`, `message`, `details`,
 * `activate_at` and `deactivate_at` in µs since 1970, the latter `"infinity"` while active,
 * `activated`), as EMQX does. Durations and ages are measured by gateway time, so that a wall clock
 * that is set neither ends nor prolongs anything.
 */
export function createAlarms(deps: AlarmsDeps, cfg: AlarmsConfig): Alarms {
  const { clock, bus } = deps;
  const log = deps.log.child({ part: "alarms" });
  const active = new Map<string, Active>();
  let past: PastEntry[] = [];
  let journal: Journal | null = null;
  let nextNumber = 1;
  let offsetMs = 0;
  let isStarted = false;
  let isCrowded = false;
  let timers: readonly Timer[] = [];

  const nowMs = () => Math.floor(clock.monotonicMs()) + offsetMs;

  function tell(what: "activate" | "deactivate", entry: AlarmEntry): void {
    if (!isStarted) return;
    const { actions } = cfg.settings();
    const { name, message, details } = entry;
    if (actions.includes("log")) {
      if (what === "activate") log.warn({ alarm: name, reason: message, details }, "alarm raised");
      else log.info({ alarm: name, durationMs: durationOf(entry) }, "alarm cleared");
    }
    if (!actions.includes("publish")) return;
    const payload = {
      name,
      message,
      details,
      activate_at: entry.activatedAtMs * 1000,
      deactivate_at: entry.deactivatedAtMs === null ? "infinity" : entry.deactivatedAtMs * 1000,
      activated: entry.deactivatedAtMs === null,
    };
    bus
      .publish({
        topic: topic(`$SYS/brokers/${cfg.node}/alarms/${what}`),
        payload: Buffer.from(JSON.stringify(payload)),
        qos: 0,
        retain: false,
        properties: { contentType: "application/json" },
        origin: { kind: "system" },
      })
      .catch((err: unknown) => log.warn({ err }, "publish failed"));
  }

  function raise(
    rawName: string,
    rawMessage: string,
    rawDetails: AlarmDetails = {},
    how: { isLatched?: boolean } = {},
  ): void {
    const { name, message, details } = bounded(rawName, rawMessage, rawDetails);
    const before = active.get(name);
    if (before?.message === message) {
      if (before.isInherited) active.set(name, { ...before, isInherited: false });
      return;
    }
    if (before === undefined && active.size >= MAX_ACTIVE) {
      if (!isCrowded) log.error({ alarm: name, reason: message }, "too many alarms at once");
      isCrowded = true;
      return;
    }
    const entry: Active = {
      name,
      message,
      details,
      activatedAtMs: before?.activatedAtMs ?? Math.floor(clock.nowMs()),
      deactivatedAtMs: null,
      fromMs: before?.fromMs ?? nowMs(),
      toMs: null,
      isLatched: how.isLatched ?? false,
      isInherited: false,
    };
    active.set(name, entry);
    journal?.raised(kept(entry));
    tell("activate", entry);
  }

  function forceClear(rawName: string): boolean {
    const name = cutName(rawName);
    const entry = active.get(name);
    if (entry === undefined) return false;
    active.delete(name);
    isCrowded = false;
    const toMs = nowMs();
    const over = { ...kept(entry), deactivatedAtMs: Math.floor(clock.nowMs()), toMs };
    const number = nextNumber++;
    past.push({ ...over, number });
    journal?.cleared(over, number);
    tell("deactivate", over);
    expire();
    return true;
  }

  /** Forgets what is too much or too old. */
  function expire(): void {
    const { size_limit, validity_period_s } = cfg.settings();
    const oldestMs = nowMs() - validity_period_s * 1000;
    const firstKept = past.findIndex(
      ({ toMs }, index) => toMs >= oldestMs && past.length - index <= size_limit,
    );
    const goners = past.splice(0, firstKept === -1 ? past.length : firstKept);
    for (const { number } of goners) journal?.forgotten(number);
  }

  /** What was raised before the start joins what was kept over the restart. */
  function merge(restored: Restored): void {
    const early = [...active.values()];
    active.clear();
    for (const entry of restored.active.slice(0, MAX_ACTIVE)) {
      active.set(entry.name, { ...entry, isInherited: !entry.isLatched });
    }
    past = [...restored.history];
    nextNumber = (past.at(-1)?.number ?? 0) + 1;
    for (const { name, message, details, isLatched } of early) {
      raise(name, message, details, { isLatched });
    }
  }

  function endInherited(): void {
    for (const { name, isInherited } of [...active.values()]) if (isInherited) forceClear(name);
  }

  function view(entry: AlarmEntry): Alarm {
    const { name, message, details, activatedAtMs, deactivatedAtMs } = entry;
    const durationMs = durationOf(entry);
    return { name, message, details, activatedAtMs, deactivatedAtMs, durationMs };
  }

  function durationOf({ fromMs, toMs }: AlarmEntry): number {
    return Math.max(0, (toMs ?? nowMs()) - fromMs);
  }

  return {
    async start(signal) {
      signal?.throwIfAborted();
      if (isStarted) return;
      const { store } = deps;
      const opened = store === undefined ? null : new Journal(store.table("alarms"));
      const restored = (await opened?.load()) ?? { active: [], history: [] };
      signal?.throwIfAborted();
      journal = opened;
      if (store !== undefined) offsetMs = store.nowMs() - Math.floor(clock.monotonicMs());
      isStarted = true;
      merge(restored);
      const names = [...active.keys()].slice(0, 20);
      if (names.length > 0) log.warn({ alarms: names }, "alarms are active");
      expire();
      timers = [clock.every(EXPIRE_EVERY_MS, expire), clock.after(SETTLE_MS, endInherited)];
    },
    async stop() {
      isStarted = false;
      for (const timer of timers) timer.cancel();
      timers = [];
    },
    raise,
    clear(name) {
      forceClear(name);
    },
    forceClear,
    active: () => [...active.values()].reverse().map(view),
    history: () => past.toReversed().map(view),
    clearHistory() {
      for (const { number } of past.splice(0)) journal?.forgotten(number);
    },
  };
}

function kept({ isInherited: _, ...entry }: Active): AlarmEntry {
  return entry;
}
