import { createHash } from "node:crypto";
import type { Clock, Timer } from "../time/index.ts";

/** How a way of logging in is slowed: free failures, then a delay that doubles up to its cap. */
interface Slowing {
  readonly freeFailures: number;
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
}

const BY_ADDRESS: Slowing = { freeFailures: 5, firstDelayMs: 500, maxDelayMs: 10_000 };
/** Shorter, because it also meets the true owner of the name; it is for guesses from many addresses. */
const BY_USERNAME: Slowing = { freeFailures: 10, firstDelayMs: 250, maxDelayMs: 4000 };

/** Failures are forgotten this long after the last one. */
const FORGET_MS = 15 * 60_000;

/** Entries of each table. */
const MAX_ENTRIES = 10_000;

/** Attempts that may wait at one address: a fleet that returns at once, or guesses. */
const MAX_WAITING_AT_ADDRESS = 1000;
const MAX_WAITING_WHILE_SLOWED = 32;
const MAX_WAITING = 4096;

/** Attempts of one address that are verified at once: guesses in parallel gain nothing. */
const LANE_WIDTH = 2;

type Outcome = "right" | "wrong" | "undecided";

/** An attempt whose turn has come; `done` must be called with what became of it. */
export interface Attempt {
  done(outcome: Outcome): void;
}

interface Failures {
  count: number;
  lastMs: number;
}

interface Lane {
  readonly failures: Failures;
  active: number;
  readonly waiting: ((isMyTurn: boolean) => void)[];
  timer: Timer | null;
}

/**
 * Slows the guessing of passwords. Attempts of one address queue up, and after some failures each
 * waits before it is verified, longer every time. Failures of a user name, from whatever address,
 * add a shorter delay of their own.
 *
 * A user who has logged in from an address before has a queue of its own there, so neither guesses
 * from other addresses nor a misconfigured neighbour behind the same one (loopback, a router) holds
 * up its return. Nobody is locked out: every delay has a cap, and a login from a fresh address waits
 * for its user name's delay at most.
 */
export class GuessGuard {
  readonly #clock: Clock;
  /** Ordered by last failure. */
  readonly #byAddress = new Map<string, Lane>();
  readonly #byUsername = new Map<string, Failures>();
  /** Lanes of (address, user name) pairs that succeeded, ordered by last success. */
  readonly #known = new Map<string, Lane>();
  readonly #pauses = new Set<() => void>();
  #waiting = 0;
  #isStopped = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when the attempt may be verified, or to null when too many wait already. */
  async enter(address: string, username: string): Promise<Attempt | null> {
    if (this.#isStopped || this.#waiting >= MAX_WAITING) return null;
    this.#waiting++;
    try {
      const user = digest(username);
      const pair = `${address} ${user}`;
      const known = this.#known.get(pair);
      if (known === undefined)
        await this.#pause(this.#delayMs(this.#byUsername.get(user), BY_USERNAME));
      const lane = known ?? this.#addressLane(address);
      if (!(await this.#queue(lane))) return null;
      return { done: (outcome) => this.#done(lane, { address, user, pair }, outcome) };
    } finally {
      this.#waiting--;
    }
  }

  /** Ends all waiting; every attempt from now on is refused. */
  stop(): void {
    this.#isStopped = true;
    for (const end of this.#pauses) end();
    for (const lane of [...this.#byAddress.values(), ...this.#known.values()]) {
      lane.timer?.cancel();
      for (const refuse of lane.waiting.splice(0)) refuse(false);
    }
  }

  /** Entries of the largest table: what bounds the memory used. */
  get remembered(): number {
    return Math.max(this.#byAddress.size, this.#byUsername.size, this.#known.size);
  }

  #done(
    lane: Lane,
    who: { readonly address: string; readonly user: string; readonly pair: string },
    outcome: Outcome,
  ): void {
    lane.active--;
    const isKnown = this.#known.get(who.pair) === lane;
    if (outcome === "wrong") {
      this.#fail(lane.failures);
      const failures = this.#byUsername.get(who.user) ?? { count: 0, lastMs: 0 };
      this.#fail(failures);
      refresh(this.#byUsername, who.user, failures, () => true);
      if (!isKnown) refresh(this.#byAddress, who.address, lane, isIdle);
      if (isSlowed(lane)) {
        for (const refuse of lane.waiting.splice(MAX_WAITING_WHILE_SLOWED)) refuse(false);
      }
    } else if (outcome === "right") {
      if (isKnown) lane.failures.count = 0;
      refresh(this.#known, who.pair, this.#known.get(who.pair) ?? newLane(), isIdle);
    }
    this.#pump(lane);
    if (lane.failures.count === 0 && isIdle(lane) && this.#byAddress.get(who.address) === lane) {
      this.#byAddress.delete(who.address);
    }
  }

  #fail(failures: Failures): void {
    this.#forgetOld(failures);
    failures.count++;
    failures.lastMs = this.#clock.monotonicMs();
  }

  #forgetOld(failures: Failures): void {
    if (this.#clock.monotonicMs() - failures.lastMs > FORGET_MS) failures.count = 0;
  }

  #addressLane(address: string): Lane {
    const lane = this.#byAddress.get(address) ?? newLane();
    if (!this.#byAddress.has(address)) refresh(this.#byAddress, address, lane, isIdle);
    return lane;
  }

  #queue(lane: Lane): Promise<boolean> {
    this.#forgetOld(lane.failures);
    const room = isSlowed(lane) ? MAX_WAITING_WHILE_SLOWED : MAX_WAITING_AT_ADDRESS;
    if (this.#isStopped || lane.waiting.length >= room) return Promise.resolve(false);
    return new Promise((resolve) => {
      lane.waiting.push(resolve);
      this.#pump(lane);
    });
  }

  #pump(lane: Lane): void {
    while (lane.waiting.length > 0 && lane.active < (isSlowed(lane) ? 1 : LANE_WIDTH)) {
      const waitMs = this.#delayMs(lane.failures, BY_ADDRESS);
      if (waitMs > 0) {
        lane.timer ??= this.#clock.after(waitMs, () => {
          lane.timer = null;
          this.#pump(lane);
        });
        return;
      }
      lane.active++;
      lane.waiting.shift()?.(true);
    }
  }

  /** How long to wait from now, given when the last failure was. */
  #delayMs(failures: Failures | undefined, slowing: Slowing): number {
    if (failures === undefined) return 0;
    this.#forgetOld(failures);
    const doublings = failures.count - slowing.freeFailures;
    if (doublings < 0) return 0;
    const delayMs = Math.min(slowing.firstDelayMs * 2 ** doublings, slowing.maxDelayMs);
    return Math.max(0, failures.lastMs + delayMs - this.#clock.monotonicMs());
  }

  #pause(delayMs: number): Promise<void> {
    if (delayMs === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        timer.cancel();
        this.#pauses.delete(end);
        resolve();
      };
      const timer = this.#clock.after(delayMs, end);
      this.#pauses.add(end);
    });
  }
}

function newLane(): Lane {
  return { failures: { count: 0, lastMs: 0 }, active: 0, waiting: [], timer: null };
}

function isIdle(lane: Lane): boolean {
  return lane.active === 0 && lane.waiting.length === 0;
}

function isSlowed(lane: Lane): boolean {
  return lane.failures.count >= BY_ADDRESS.freeFailures;
}

/** Names from the wire may have 64 KB; a digest is as good a key. */
function digest(username: string): string {
  return createHash("sha256").update(username).digest("base64");
}

/** Puts an entry at the end of a table, and takes the first removable one out of a full table. */
function refresh<T>(
  table: Map<string, T>,
  key: string,
  value: T,
  isRemovable: (value: T) => boolean,
): void {
  table.delete(key);
  table.set(key, value);
  if (table.size <= MAX_ENTRIES) return;
  // Entries in use are few (attempts that wait are bounded), so this ends soon.
  for (const [oldKey, old] of table) {
    if (oldKey !== key && isRemovable(old)) {
      table.delete(oldKey);
      return;
    }
  }
}
