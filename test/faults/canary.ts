import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, onTestFinished } from "vitest";
import type { CanaryFigures, CanaryOrders } from "./canary-figures.ts";

/** Nobody unaffected waits longer than this on a quiet machine … */
const TARGET_MS = 100;
/** … nor longer than this on one that is busy with other things. */
const LIMIT_MS = 500;

/** A pair of clients in a thread of their own that notices when others are made to wait. */
export class Canary {
  readonly #worker: Worker;

  private constructor(worker: Worker) {
    this.#worker = worker;
  }

  /** Resolves when the pair is connected and measuring. */
  static async start(tcpPort: number, crowdedTopics: readonly string[] = []): Promise<Canary> {
    const workerData: CanaryOrders = { tcpPort, crowdedTopics };
    const file = new URL("./canary-worker.ts", import.meta.url);
    const worker = new Worker(file, { workerData, execArgv: [] });
    onTestFinished(async () => {
      await worker.terminate();
    });
    await once(worker, "message");
    return new Canary(worker);
  }

  /** Ends it and gives what it measured. */
  async stop(): Promise<CanaryFigures> {
    const answer = once(this.#worker, "message");
    this.#worker.postMessage("stop");
    const [figures] = (await answer) as [CanaryFigures];
    return figures;
  }
}

/** The figures as a line of a report. */
export function songOf(figures: CanaryFigures): Record<string, number> {
  const { count, medianMs, p99Ms, worstMs, worstAckMs, ownLagMs } = figures;
  const rounded = { medianMs, p99Ms, worstMs, worstAckMs, ownLagMs };
  return {
    canaryMessages: count,
    ...Object.fromEntries(
      Object.entries(rounded).map(([name, value]) => [name, Math.round(value * 10) / 10]),
    ),
    targetMs: TARGET_MS,
  };
}

/** Nobody was kept waiting. */
export function expectUndisturbed(figures: CanaryFigures, limitMs = LIMIT_MS): void {
  expect(figures.unanswered).toBe(0);
  expect(figures.worstMs).toBeLessThan(limitMs);
  expect(figures.worstAckMs).toBeLessThan(limitMs);
}
