import { writeSync } from "node:fs";
import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Clock, Timer } from "../time/index.ts";

/** What health needs from the others. */
export interface HealthDeps {
  readonly log: Log;
  readonly clock: Clock;
  /** Where sd_notify(3) messages go, one write each; null without a service manager. */
  readonly notifyFd: number | null;
  /** Microseconds of silence after which the service manager kills; null when it does not watch. */
  readonly watchdogUs: number | null;
  /** Resolves when the gateway does its work, rejects with the reason when it does not. */
  selfCheck(): Promise<void>;
}

/** What was last found. */
export interface HealthStatus {
  readonly isReady: boolean;
  /** The newest self-check; null before the first, and without a watchdog. */
  readonly lastCheck: {
    readonly isPassed: boolean;
    readonly reason: string | null;
    readonly atMs: number;
    readonly durationMs: number;
  } | null;
}

/** The gateway's word to its service manager. */
export interface Health {
  /** Begins to check and to feed the watchdog. */
  start(signal?: AbortSignal): Promise<void>;
  /** Everything is up: `READY=1`, and `statusText` for `systemctl status`. */
  ready(statusText: string): void;
  /** The end has begun: `STOPPING=1`; the watchdog is not fed any more. */
  stopping(): void;
  /** Ends the checks; safe to call twice. */
  stop(): Promise<void>;
  status(): HealthStatus;
}

/**
 * Tells the service manager how the gateway is. The watchdog is fed (`WATCHDOG=1`) every half of
 * its time, and only after the self-check passed within a quarter of it: a held event loop and a
 * gateway that no longer works both end in a restart. A failed check is logged, not fed, and
 * repeated after an eighth, so that one hiccup costs nothing.
 */
export function createHealth(deps: HealthDeps): Health {
  const log = deps.log.child({ part: "health" });
  let isReady = false;
  let readyText = "starting";
  let isWatching = false;
  let isNotifyBroken = false;
  let failures = 0;
  let next: Timer | null = null;
  let lastCheck: HealthStatus["lastCheck"] = null;

  /**
   * Synchronous on purpose: in the thread pool a stalled disk would hold it up until the watchdog
   * kills. A datagram to systemd takes microseconds; the socket's queue holds 512 of them.
   */
  function notify(...assignments: readonly string[]): void {
    if (deps.notifyFd === null || isNotifyBroken) return;
    try {
      writeSync(deps.notifyFd, assignments.join("\n"));
    } catch (err) {
      isNotifyBroken = !isTransient(err);
      log.error({ err }, "the service manager cannot be told anything");
    }
  }

  function scheduleCheck(watchdogMs: number, delayMs: number): void {
    next = deps.clock.after(delayMs, () => void check(watchdogMs));
  }

  /** One round of the watchdog; never rejects. */
  async function check(watchdogMs: number): Promise<void> {
    const startMs = deps.clock.monotonicMs();
    const reason = await reasonToFail(deps, watchdogMs / 4);
    if (!isWatching) return;
    const durationMs = deps.clock.monotonicMs() - startMs;
    lastCheck = { isPassed: reason === null, reason, atMs: deps.clock.nowMs(), durationMs };
    if (reason === null) {
      if (failures > 0) {
        log.info({ attempt: failures }, "self-check passes again");
        notify(`STATUS=${readyText}`);
      }
      failures = 0;
      notify("WATCHDOG=1");
    } else {
      failures += 1;
      if (failures === 1) {
        log.error({ reason, durationMs }, "self-check failed, the watchdog is not fed");
        notify(`STATUS=self-check failed: ${oneLine(reason)}`);
      }
    }
    // From the start of this round: however long the check takes, the next is not late.
    const periodMs = reason === null ? watchdogMs / 2 : Math.max(durationMs, watchdogMs / 8);
    scheduleCheck(watchdogMs, Math.max(0, periodMs - durationMs));
  }

  function stopWatching(): void {
    isWatching = false;
    next?.cancel();
  }

  return {
    async start(signal) {
      signal?.throwIfAborted();
      if (isWatching || deps.watchdogUs === null) return;
      isWatching = true;
      scheduleCheck(deps.watchdogUs / 1000, 0);
    },
    ready(statusText) {
      isReady = true;
      readyText = oneLine(statusText);
      notify("READY=1", `STATUS=${readyText}`);
    },
    stopping() {
      isReady = false;
      stopWatching();
      notify("STOPPING=1", "STATUS=stopping");
    },
    async stop() {
      stopWatching();
    },
    status: () => ({ isReady, lastCheck }),
  };
}

/** Why the self-check does not pass within `limitMs`; null when it does. */
async function reasonToFail({ clock, selfCheck }: HealthDeps, limitMs: number) {
  const limit = Promise.withResolvers<string>();
  const timer = clock.after(limitMs, () => limit.resolve(`no answer in ${limitMs} ms`));
  try {
    return await Promise.race([selfCheck().then(() => null), limit.promise]);
  } catch (err) {
    return reasonOf(err);
  } finally {
    timer.cancel();
  }
}

function isTransient(err: unknown): boolean {
  return err instanceof Error && "code" in err && (err.code === "EAGAIN" || err.code === "ENOBUFS");
}

/** A line break would begin another assignment. */
function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, " ");
}
