import { reasonOf } from "../errors/index.ts";
import type { QoS } from "../mqtt/index.ts";

interface Slot {
  readonly qos: QoS;
  readonly packetId: number;
  readonly bytes: number;
}

export interface ReceiveWindowEvents {
  /** PUBACK for QoS 1, PUBREC for QoS 2. */
  acknowledge(qos: 1 | 2, packetId: number): void;
  fail(reason: string): void;
}

/**
 * The messages from the cloud that the local broker is still storing. They are acknowledged in the
 * order they came ([MQTT-4.6.0-2], [MQTT-4.6.0-3]) and each only when it is safe. A full window
 * stops reading, and so the server.
 */
export class ReceiveWindow {
  /** Announced as Receive Maximum (MQTT 5.0 §3.1.2.11.3). */
  static readonly MAX_MESSAGES = 256;
  static readonly #MAX_BYTES = 4_194_304;

  readonly #events: ReceiveWindowEvents;
  readonly #slots: { readonly slot: Slot; isSafe: boolean }[] = [];
  #bytes = 0;
  #resume: (() => void) | null = null;

  constructor(events: ReceiveWindowEvents) {
    this.#events = events;
  }

  add(slot: Slot, delivered: Promise<void>): void {
    const entry = { slot, isSafe: false };
    this.#slots.push(entry);
    this.#bytes += slot.bytes;
    delivered.then(
      () => {
        entry.isSafe = true;
        this.#flush();
      },
      (err: unknown) =>
        this.#events.fail(`a message could not be published here: ${reasonOf(err)}`),
    );
  }

  /** Calls `task` when there is room for another message. */
  whenOpen(task: () => void): void {
    if (this.#isOpen()) task();
    else this.#resume = task;
  }

  #flush(): void {
    for (let head = this.#slots[0]; head?.isSafe === true; head = this.#slots[0]) {
      this.#slots.shift();
      const { qos, packetId, bytes } = head.slot;
      this.#bytes -= bytes;
      if (qos > 0) this.#events.acknowledge(qos === 2 ? 2 : 1, packetId);
    }
    const resume = this.#resume;
    if (resume === null || !this.#isOpen()) return;
    this.#resume = null;
    resume();
  }

  #isOpen(): boolean {
    return (
      this.#slots.length < ReceiveWindow.MAX_MESSAGES && this.#bytes < ReceiveWindow.#MAX_BYTES
    );
  }
}
