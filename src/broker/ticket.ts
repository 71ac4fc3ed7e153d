import { isGatewayError } from "../errors/index.ts";
import { REASON, type ReasonCode } from "./codec/index.ts";
import type { CommitWaiter } from "./committer.ts";

/** A session that a publication was stored for, as far as taking it back goes. */
export interface StoredCopy {
  readonly withdraw: (seq: number) => void;
}

/**
 * What one publication waits for before its publisher is told. It is done when the handlers within
 * the process are, and either the commit that holds all of it is durable or every durable receiver
 * has acknowledged.
 */
export class Ticket implements CommitWaiter {
  reason: ReasonCode = REASON.success;
  /** What a handler failed with. */
  cause: Error | null = null;
  group = 0;
  isDone = false;
  #copies = 0;
  #handlers = 0;
  /** The marker or the retained message needs the commit whatever the receivers do. */
  #needsCommit = false;
  #isCommitted = false;
  #isSealed = false;
  readonly #stored: { copy: StoredCopy; seq: number }[] = [];
  #onDone: ((ticket: Ticket) => void) | null = null;

  /** Whether a commit has anything to do with it. */
  get waitsForStore(): boolean {
    return this.#copies > 0 || this.#needsCommit;
  }

  addCopy(copy: StoredCopy, seq: number): void {
    this.#copies++;
    this.#stored.push({ copy, seq });
  }

  /** A handler that answers later. Its failure is the publication's. */
  addHandler(done: Promise<void>): void {
    this.#handlers++;
    done.then(
      () => {
        this.#handlers--;
        this.#check();
      },
      (err: unknown) => {
        this.cause = err instanceof Error ? err : new Error(String(err));
        const isStore = isGatewayError(err) && err.code.startsWith("STORE_");
        this.refuse(isStore ? REASON.quotaExceeded : REASON.implementationSpecificError);
      },
    );
  }

  needCommit(): void {
    this.#needsCommit = true;
  }

  /** One durable receiver has acknowledged, or its copy was dropped by policy. */
  copyDone(): void {
    this.#copies--;
    this.#check();
  }

  onCommit(failed: boolean): void {
    if (this.isDone) return;
    if (!failed) {
      this.#isCommitted = true;
      this.#check();
      return;
    }
    for (const { copy, seq } of this.#stored) copy.withdraw(seq);
    this.refuse(REASON.quotaExceeded);
  }

  /** Nothing more is added; `onDone` is called once, now or later. */
  seal(onDone: (ticket: Ticket) => void): void {
    this.#isSealed = true;
    this.#onDone = onDone;
    this.#check();
  }

  refuse(reason: ReasonCode): void {
    if (this.isDone) return;
    this.reason = reason;
    this.#finish();
  }

  #check(): void {
    if (this.isDone || !this.#isSealed || this.#handlers > 0) return;
    if (this.#isCommitted || (this.#copies === 0 && !this.#needsCommit)) this.#finish();
  }

  #finish(): void {
    this.isDone = true;
    const onDone = this.#onDone;
    this.#onDone = null;
    if (this.#isSealed) onDone?.(this);
  }
}
