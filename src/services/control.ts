import type { Log } from "../log/index.ts";
import type { Clock } from "../time/index.ts";

/** What a control request asks for. */
export type ExitKind = "stop" | "restart";

export interface ControlDeps {
  readonly log: Log;
  readonly clock: Clock;
  /** Starts the orderly end of the process. */
  requestExit(kind: ExitKind): void;
}

/** The end of the process, asked for through an API. */
export interface Control {
  /**
   * Ends the gateway once `answered` settles, so that the caller hears of it first, and after
   * {@link ANSWER_LIMIT_MS} at the latest. Only the first request counts.
   */
  request(kind: ExitKind, answered: Promise<void>): void;
}

/** A caller that does not take its answer does not hold up the restart. */
const ANSWER_LIMIT_MS = 2_000;

export function createControl({ log, clock, requestExit }: ControlDeps): Control {
  let isRequested = false;
  return {
    request(kind, answered) {
      if (isRequested) return;
      isRequested = true;
      let isDone = false;
      const act = () => {
        if (isDone) return;
        isDone = true;
        deadline.cancel();
        log.info({ kind }, "exit requested through the API");
        requestExit(kind);
      };
      const deadline = clock.after(ANSWER_LIMIT_MS, act);
      answered.then(act, act);
    },
  };
}
