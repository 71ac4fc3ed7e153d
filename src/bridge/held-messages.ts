/** A message that was held back on its way. */
export interface Held {
  readonly rule: string;
  /** Tells it from others of its topic. */
  readonly print: number;
  readonly bytes: number;
  /** Sends it, or gives it up. */
  readonly forward: () => void | Promise<void>;
}

/** One that was let go, whose publisher still waits. */
export interface Released extends Held {
  /** Its publisher may have its acknowledgement. */
  acknowledge(): void;
}

interface Entry {
  readonly message: Held;
  readonly done: PromiseWithResolvers<void>;
}

/** Held by one bridge in all; what comes above that is not held. */
const MAX_HELD = 2000;
const MAX_HELD_BYTES = 8 * 1024 * 1024;

/** What all the queues of a bridge hold together. */
export class HoldBudget {
  #messages = 0;
  #bytes = 0;

  hasRoom(bytes: number): boolean {
    return this.#messages < MAX_HELD && this.#bytes + bytes <= MAX_HELD_BYTES;
  }

  take(bytes: number): void {
    this.#messages += 1;
    this.#bytes += bytes;
  }

  give(bytes: number): void {
    this.#messages -= 1;
    this.#bytes -= bytes;
  }
}

/** The messages of one topic that are held back, in the order they came. */
export class HeldMessages {
  readonly #budget: HoldBudget;
  #entries: Entry[] = [];

  constructor(budget: HoldBudget) {
    this.#budget = budget;
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  /** Resolves when the message is safe, or was given up; there must be room for it. */
  add(message: Held): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#entries.push({ message, done });
    this.#budget.take(message.bytes);
    return done.promise;
  }

  letAllGo(): void {
    this.letGo(() => true);
  }

  /** Those that `test` names; the others stay. */
  letGo(test: (message: Held) => boolean): void {
    const entries = this.#entries;
    this.#entries = entries.filter(({ message }) => !test(message));
    for (const entry of entries) if (test(entry.message)) this.#send(entry).acknowledge();
  }

  /** The eldest, whose publisher waits until it is told; null when none is held. */
  letOneGo(): Released | null {
    const eldest = this.#entries.shift();
    return eldest === undefined ? null : this.#send(eldest);
  }

  #send({ message, done }: Entry): Released {
    this.#budget.give(message.bytes);
    // What fails at once fails as a promise, looked at when it is acknowledged.
    const safe = (async () => message.forward())();
    safe.catch(() => {});
    return { ...message, acknowledge: () => void safe.then(done.resolve, done.reject) };
  }
}
