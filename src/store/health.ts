import type { GatewayError } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { StopListening, StoreRefusal } from "../mqtt/index.ts";
import type { StoreState } from "./durable-memory.ts";
import type { Space } from "./space.ts";

/** Leaving `full` takes this much more room than entering it, so that it does not flicker. */
const HYSTERESIS = 0.05;

/** The largest packet accepted by default: with less room than that some would be refused. */
const ROOM_BYTES = 1_048_576;

export interface HealthDeps {
  readonly log: Log;
  readonly space: Space;
}

/** Whether the store takes messages, and why not. */
export class Health {
  readonly #deps: HealthDeps;
  readonly maxBytes: number;
  readonly #listeners = new Set<(state: StoreState) => void>();
  #state: StoreState = "ready";
  #failure: GatewayError | null = null;
  #trouble: string | null = null;
  #isStopped = false;

  constructor(deps: HealthDeps, cfg: { maxBytes: number }) {
    this.#deps = deps;
    this.maxBytes = cfg.maxBytes;
  }

  get state(): StoreState {
    return this.#state;
  }

  get trouble(): string | null {
    return this.#trouble;
  }

  onState(listener: (state: StoreState) => void): StopListening {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  admit(bytes: number): StoreRefusal | null {
    switch (this.#state) {
      case "ready":
        return this.#hasRoomFor(bytes) ? null : "STORE_FULL";
      case "full":
        return "STORE_FULL";
      case "failing":
        return this.#failure?.code === "STORE_FULL" ? "STORE_FULL" : "STORE_WRITE_FAILED";
      case "stopped":
        return "STORE_WRITE_FAILED";
    }
  }

  /** A group was settled. */
  settled(error: GatewayError | null): void {
    if (error === null && this.#failure === null) return;
    this.#failure = error;
    this.update();
  }

  stop(): void {
    this.#isStopped = true;
    this.update();
  }

  /** Looks at everything again. */
  update(): void {
    this.#trouble = this.#findTrouble();
    const next = this.#stateNow();
    if (next === this.#state) return;
    const before = this.#state;
    this.#state = next;
    const { log } = this.#deps;
    if (next === "ready") log.info({ before }, "the store takes messages again");
    else if (next !== "stopped") {
      const code = this.#failure?.code ?? "STORE_FULL";
      log.error({ code, state: next, err: this.#trouble }, "the store takes no messages");
    }
    for (const listener of this.#listeners) listener(next);
  }

  #stateNow(): StoreState {
    if (this.#isStopped) return "stopped";
    if (this.#failure !== null) return "failing";
    return this.#trouble === null ? "ready" : "full";
  }

  #findTrouble(): string | null {
    if (this.#failure !== null) return this.#failure.message;
    const { freeBytes, reserveBytes, bytesOnDisk, usableBytes } = this.#deps.space;
    // Out of room once, it takes more room than before to be trusted again.
    const isFull = this.#state !== "ready";
    if (usableBytes < ROOM_BYTES + (isFull ? reserveBytes * HYSTERESIS : 0)) {
      return `${freeBytes} bytes are free on its volume, ${reserveBytes} are kept free`;
    }
    if (bytesOnDisk * (isFull ? 1 + HYSTERESIS : 1) > this.maxBytes) {
      return `it has ${bytesOnDisk} bytes, at most ${this.maxBytes}`;
    }
    return null;
  }

  #hasRoomFor(bytes: number): boolean {
    const { usableBytes, bytesOnDisk } = this.#deps.space;
    return usableBytes >= bytes && bytesOnDisk + bytes <= this.maxBytes;
  }
}
