import type { EngineStore, StopListening } from "../mqtt/index.ts";
import type { StoreStatus } from "./status.ts";

/** `ready`; `full`: only deletions and session state are taken; `failing`: no commit gets through. */
export type StoreState = "ready" | "full" | "failing" | "stopped";

/** What the store offers beside what the protocol engine asks of it. */
export interface DurableMemory extends EngineStore {
  /**
   * Resolves when everything recorded so far is durable (see `schedule`), but for messages that the cloud
   * may soon have. All callers of one group get the same promise.
   * @throws GatewayError STORE_FULL or STORE_WRITE_FAILED (rejects), the group's own failure only.
   */
  committed(urgent: boolean): Promise<void>;

  readonly state: StoreState;
  /** Calls `listener` after every change of `state`. */
  onState(listener: (state: StoreState) => void): StopListening;

  /** Back-pressure: topic and payload bytes, and operations, not yet durable (open and in flight). */
  readonly pendingBytes: number;
  readonly pendingOperations: number;

  /** Everything there is to know, without I/O. */
  status(): StoreStatus;
}
