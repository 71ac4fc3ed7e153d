import type { Log } from "../log/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import type { Alarms } from "./alarms.ts";
import { type CertificateFile, type Expiry, readExpiries } from "./certificates.ts";
import { type Readings, RULES, type Rule, type Watermarks } from "./rules.ts";

/** What the watch needs from the others. */
export interface AlarmWatchDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly alarms: Pick<Alarms, "raise" | "clear" | "active">;
  /** Everything the rules judge by; a lookup. */
  readings(): Readings;
  /** A damaged store that was put aside at this start. */
  storeSetAside(): {
    readonly path: string;
    readonly reason: string;
    readonly isRepaired: boolean;
  } | null;
  /** Every bridge there is now. */
  bridges(): Iterable<{
    readonly name: string;
    /** `connected`, or why not; `disabled` is at somebody's wish. */
    readonly state: string;
    readonly lastError: string | null;
  }>;
  /** Certificates that are in use now. */
  certificateFiles(): readonly CertificateFile[];
}

export interface AlarmWatchConfig {
  /** The newest thresholds. */
  watermarks(): Watermarks;
}

/** Raises and clears the alarms that follow from what is measured. */
export interface AlarmWatch {
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /** The certificates in use and when they expire, as last read. */
  certificates(): readonly Expiry[];
}

/** How often the rules are judged, and the certificates' files read. */
const JUDGE_EVERY_MS = 10_000;
const READ_CERTIFICATES_EVERY_MS = 600_000;

const DAY_MS = 86_400_000;

/** A clock that shows an earlier time was never set, which is an alarm of its own. */
const CLOCK_IS_SET_MS = Date.UTC(2026, 0, 1);

/** Days before a certificate's end on which it is said, and said again. */
const CERTIFICATE_DAYS = [1, 7, 30];

/** A link that comes back at once, as after a restart of the cloud, is no alarm. */
const BRIDGE_DOWN = { raiseAfterMs: 30_000, clearAfterMs: 10_000 } as const;

interface Watched {
  /** Since when it is otherwise than the alarm says, monotonic ms; null when it is not. */
  sinceMs: number | null;
  isRaised: boolean;
}

/**
 * Judges every rule of the table on a timer, with its hysteresis. An alarm that somebody ended by
 * force comes back when it has been right and goes wrong again.
 */
export function createAlarmWatch(deps: AlarmWatchDeps, cfg: AlarmWatchConfig): AlarmWatch {
  const { clock, alarms } = deps;
  const log = deps.log.child({ part: "alarms" });
  const watched = new Map<Rule, Watched>(
    RULES.map((rule) => [rule, { sinceMs: null, isRaised: false }]),
  );
  const bridges = new Map<string, Watched>();
  let timers: readonly Timer[] = [];
  let expiries: readonly Expiry[] = [];
  let told = new Map<string, string>();
  /** Active since before the restart: what is still wrong need not prove it anew. */
  let before = new Set<string>();

  function judge(): void {
    const readings = deps.readings();
    const watermarks = cfg.watermarks();
    for (const [rule, state] of watched) follow(rule, state, rule.judge(readings, watermarks));
    judgeBridges();
    judgeCertificates();
  }

  function judgeBridges(): void {
    const gone = new Set(bridges.keys());
    for (const { name: bridge, state, lastError } of deps.bridges()) {
      const name = `connector:mqtt:${bridge}`;
      gone.delete(name);
      const watch = bridges.get(name) ?? { sinceMs: null, isRaised: false };
      bridges.set(name, watch);
      const isRight = state === "connected" || state === "disabled";
      const details = { bridge, ...(lastError === null ? {} : { reason: lastError }) };
      const message = `Bridge ${bridge} is down.`;
      const judgement = isRight
        ? ({ is: "right" } as const)
        : { is: "wrong" as const, message, details };
      follow({ name, ...BRIDGE_DOWN }, watch, judgement);
    }
    for (const name of gone) {
      alarms.clear(name);
      bridges.delete(name);
    }
  }

  function follow(
    rule: Pick<Rule, "name" | "raiseAfterMs" | "clearAfterMs">,
    state: Watched,
    judgement: ReturnType<Rule["judge"]>,
  ): void {
    const isOtherwise = judgement.is === (state.isRaised ? "right" : "wrong");
    if (judgement.is === "right") before.delete(rule.name);
    if (!isOtherwise) {
      state.sinceMs = null;
      return;
    }
    const nowMs = clock.monotonicMs();
    state.sinceMs ??= nowMs;
    const raiseAfterMs = before.has(rule.name) ? 0 : rule.raiseAfterMs;
    if (nowMs - state.sinceMs < (state.isRaised ? rule.clearAfterMs : raiseAfterMs)) return;
    before.delete(rule.name);
    state.sinceMs = null;
    state.isRaised = judgement.is === "wrong";
    if (judgement.is === "wrong") alarms.raise(rule.name, judgement.message, judgement.details);
    else alarms.clear(rule.name);
  }

  function judgeCertificates(): void {
    const now = new Map<string, string>();
    for (const { use, path, expiresAtMs, startsAtMs } of expiries) {
      const leftMs = expiresAtMs - clock.nowMs();
      const days = CERTIFICATE_DAYS.find((each) => leftMs <= each * DAY_MS);
      const nowMs = clock.nowMs();
      const isEarly = nowMs >= CLOCK_IS_SET_MS && nowMs < startsAtMs;
      if (days === undefined && !isEarly) continue;
      const name = `certificate_expiry/${use}`;
      const soon = `A certificate expires within ${days === 1 ? "a day" : `${days} days`}.`;
      const late = leftMs <= 0 ? "A certificate has expired." : soon;
      const message = isEarly ? "A certificate is not valid yet, or the clock is wrong." : late;
      now.set(name, message);
      if (told.get(name) === message) continue;
      const iso = (ms: number) => new Date(ms).toISOString();
      const starts = isEarly ? { valid_from: iso(startsAtMs) } : {};
      alarms.raise(name, message, { path, expires_at: iso(expiresAtMs), ...starts });
    }
    for (const name of told.keys()) if (!now.has(name)) alarms.clear(name);
    told = now;
  }

  async function readCertificates(): Promise<void> {
    expiries = await readExpiries(deps.certificateFiles());
  }

  return {
    async start(signal) {
      signal?.throwIfAborted();
      if (timers.length > 0) return;
      const aside = deps.storeSetAside();
      if (aside !== null) {
        const { path, reason, isRepaired } = aside;
        const message = isRepaired
          ? "The store was damaged; a repaired copy is in use, and the damaged one is kept."
          : "The store was damaged and is kept; a new one was started.";
        alarms.raise("store_set_aside", message, { path, reason }, { isLatched: true });
      }
      before = new Set(alarms.active().map(({ name }) => name));
      await readCertificates();
      judge();
      timers = [
        clock.every(JUDGE_EVERY_MS, judge),
        clock.every(READ_CERTIFICATES_EVERY_MS, () => {
          readCertificates().catch((err: unknown) => log.warn({ err }, "certificates not read"));
        }),
      ];
    },
    async stop() {
      for (const timer of timers) timer.cancel();
      timers = [];
    },
    certificates: () => expiries,
  };
}

/** The alarms as a Markdown table, for the README beside this file. */
export function renderAlarmTable(): string {
  const rows = [
    ...RULES.map(({ name, doc }) => [`\`${name}\``, doc]),
    [
      "`connector:mqtt:<bridge>`",
      "The link of a bridge is down for 30 s; it is up for 10 s, or the bridge is switched off or gone.",
    ],
    [
      "`bridge_certificate_<bridge>_tls`",
      "A bridge cannot connect for certificates or keys; it is connected, or switched off.",
    ],
    [
      "`bridge_left_<bridge>`",
      "Messages wait for a bridge that is not configured any more; it is again, or they were removed.",
    ],
    [
      "`bridge_loop_<rule>`",
      "A rule sent messages round in circles and was cut; the bridge is built anew.",
    ],
    [
      "`bridge_loop_suspected_<rule>`",
      "A rule may send messages round in circles, which cannot be proven, and goes on; they come no more for a minute or two, the rule is cut, or the bridge is built anew.",
    ],
    [
      "`certificate_expiry/<use>`",
      "A certificate of the listeners expires within 30, 7, 1 days, or has, or is not valid yet; a new one is there.",
    ],
    [
      "`listener_tls/<name>`",
      "The TLS files of a listener cannot be used; it stays closed, or goes on with the old ones.",
    ],
    [
      "`store_set_aside`",
      "A damaged store was repaired or replaced at the start; ended by `force_deactivate` only.",
    ],
  ];
  const head = ["Alarm", "Raised when; cleared when"];
  return [head, head.map(() => "---"), ...rows]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
}
