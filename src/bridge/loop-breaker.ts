import { hash } from "node:crypto";
import type { Message } from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";

export interface LoopBreakerDeps {
  readonly clock: Clock;
  /** A rule goes round in circles: it is to forward nothing more. */
  onCut(rule: string, topic: string): void;
  /** A message of a rule that is cut was given up. */
  onDropped(rule: string): void;
  readonly random?: () => number;
}

/** Sends a message that was held back on its way. */
export type Forward = () => void | Promise<void>;

/** Copies of one message after which it is looked at closely. */
const SUSPECT_COPIES = 30;

/** Copies that come further apart belong to no loop. */
const MAX_GAP_MS = 10_000;

/** Returns of marked messages after which the rule is cut, within a minute. */
const MARKED_RETURNS = 20;
const MARKED_PERIOD_MS = 60_000;

/** Trials a copy has to come back from. */
const TRIALS = 2;

const MAX_TOPICS = 512;

/** More than any loop has on its way round when it is stopped after 30 copies. */
const MAX_HELD = 2000;

/** Payloads up to this are compared as they are, larger ones by a digest. */
const MAX_PRINT_BYTES = 1024;
const MIN_WAIT_MS = 1000;
const MAX_WAIT_MS = 10_000;

/** How long a topic is left in peace after a trial that found no loop: ever longer. */
const EXEMPT_MS = [30_000, 600_000, 3_600_000];

interface Held {
  readonly rule: string;
  readonly forward: Forward;
  readonly done: PromiseWithResolvers<void>;
}

interface Trial {
  readonly sent: Promise<void>;
  readonly done: PromiseWithResolvers<void>;
}

type Phase = "counting" | "holding" | "listening" | "trying";

/** What is known of one topic, whichever rules forward it. */
interface Track {
  print: Buffer;
  copies: number;
  lastMs: number;
  /** Between the last two copies. */
  gapMs: number;
  phase: Phase;
  /** The arrival counted last: each rule that selects it asks about it. */
  lastMessage: Message | null;
  /** The rule whose copy was let go. */
  tried: string;
  timer: Timer | null;
  readonly held: Held[];
  /** Let go for a trial; who published them is told when it is over. */
  readonly trials: Trial[];
  returns: number;
  exemptUntilMs: number;
  exemptions: number;
}

/**
 * Finds the rule that sends a message round and round, where nothing in the message tells: over links
 * of MQTT 3.1.1, or through brokers that drop user properties. A message that has come again and
 * again, unchanged and fast, is held back for a moment. From a publisher that repeats itself copies
 * keep coming: then everything goes on its way, in order, and the topic is left in peace. In a loop
 * they stop; a single one is then let go, and when it comes back, twice, the rule is cut. That takes
 * less than 50 copies, and costs a publisher that looked like a loop a delay of seconds, no message.
 */
export class LoopBreaker {
  readonly #deps: LoopBreakerDeps;
  readonly #random: () => number;
  readonly #tracks = new Map<string, Track>();
  readonly #cut = new Set<string>();
  readonly #marked = new Map<string, { sinceMs: number; count: number }>();
  #isStopped = false;

  constructor(deps: LoopBreakerDeps) {
    this.#deps = deps;
    this.#random = deps.random ?? Math.random;
  }

  isCut(rule: string): boolean {
    return this.#cut.has(rule);
  }

  /** A message came back that says itself that it was here before. */
  returned(rule: string, topic: string): void {
    const nowMs = this.#deps.clock.monotonicMs();
    const known = this.#marked.get(rule);
    const isRecent = known !== undefined && nowMs - known.sinceMs < MARKED_PERIOD_MS;
    const count = isRecent ? known.count + 1 : 1;
    this.#marked.set(rule, { sinceMs: isRecent ? known.sinceMs : nowMs, count });
    if (count >= MARKED_RETURNS) this.#sever(rule, topic);
  }

  /**
   * Sends a message on its way now, or later, or never; what it returns is what the publisher waits
   * for.
   */
  pass(rule: string, message: Message, forward: Forward): void | Promise<void> {
    const track = isFromBridge(message) ? this.#trackOf(message) : null;
    if (track === null) return forward();
    const isCopy = this.#count(track, message);
    if (track.phase === "counting" && track.copies < SUSPECT_COPIES) return forward();
    if (track.phase === "counting") this.#hold(message.topic, track);
    if (track.phase === "trying" && isCopy) this.#cameBack(message.topic, track);
    if (this.#cut.has(rule)) {
      this.#deps.onDropped(rule);
      return;
    }
    const keepsComing = track.phase === "listening" && isCopy;
    if (keepsComing || track.held.length >= MAX_HELD) {
      this.#acquit(message.topic, track);
      return forward();
    }
    const done = Promise.withResolvers<void>();
    track.held.push({ rule, forward, done });
    return done.promise;
  }

  /** Lets everything go that is held. */
  stop(): void {
    this.#isStopped = true;
    for (const [key, track] of this.#tracks) {
      this.#tracks.delete(key);
      this.#release(track);
    }
  }

  #trackOf(message: Message): Track | null {
    if (this.#isStopped) return null;
    const key = message.topic;
    const known = this.#tracks.get(key);
    if (known !== undefined) {
      return known.exemptUntilMs > this.#deps.clock.monotonicMs() ? null : known;
    }
    if (this.#tracks.size >= MAX_TOPICS) this.#forgetOne();
    const track: Track = {
      print: printOf(message.payload),
      copies: 0,
      lastMs: this.#deps.clock.monotonicMs(),
      gapMs: 0,
      phase: "counting",
      lastMessage: null,
      tried: "",
      timer: null,
      held: [],
      trials: [],
      returns: 0,
      exemptUntilMs: 0,
      exemptions: 0,
    };
    this.#tracks.set(key, track);
    return track;
  }

  /** The oldest topic that is not under suspicion. */
  #forgetOne(): void {
    for (const [key, track] of this.#tracks) {
      if (track.phase !== "counting") continue;
      this.#tracks.delete(key);
      return;
    }
  }

  #count(track: Track, message: Message): boolean {
    const nowMs = this.#deps.clock.monotonicMs();
    const gapMs = nowMs - track.lastMs;
    if (message === track.lastMessage) return false;
    track.lastMessage = message;
    const isSame = isPrintOf(track.print, message.payload);
    if (track.phase !== "counting") return isSame;
    if (isSame && gapMs <= MAX_GAP_MS) {
      track.copies += 1;
      track.gapMs = gapMs;
    } else {
      if (!isSame) track.print = printOf(message.payload);
      track.copies = 1;
    }
    track.lastMs = nowMs;
    return isSame;
  }

  #hold(key: string, track: Track): void {
    track.phase = "holding";
    const waitMs = this.#waitMs(track);
    // What is on its way round comes in first; what comes after that comes from a publisher.
    this.#after(track, waitMs, () => {
      track.phase = "listening";
      this.#after(track, waitMs, () => this.#try(key, track));
    });
  }

  /**
   * Lets one copy go; a loop brings it back. Its publisher is not told yet: one that waits for each
   * acknowledgement would send the next copy because of it, and look like a loop.
   */
  #try(key: string, track: Track): void {
    const first = track.held.shift();
    if (first === undefined) {
      this.#acquit(key, track);
      return;
    }
    track.phase = "trying";
    track.tried = first.rule;
    track.trials.push({ sent: forwarded(first), done: first.done });
    this.#after(track, 2 * this.#waitMs(track), () => this.#acquit(key, track));
  }

  #cameBack(key: string, track: Track): void {
    track.returns += 1;
    if (track.returns >= TRIALS) this.#sever(track.tried, key);
    track.phase = "holding";
    this.#after(track, this.#waitMs(track) / 2, () => this.#try(key, track));
  }

  #acquit(key: string, track: Track): void {
    const { exemptions } = track;
    this.#release(track);
    const forMs = EXEMPT_MS[Math.min(exemptions, EXEMPT_MS.length - 1)] ?? 0;
    this.#tracks.set(key, {
      ...track,
      copies: 0,
      phase: "counting",
      lastMessage: null,
      timer: null,
      held: [],
      trials: [],
      returns: 0,
      exemptUntilMs: this.#deps.clock.monotonicMs() + forMs,
      exemptions: exemptions + 1,
    });
  }

  #sever(rule: string, topic: string): void {
    if (this.#cut.has(rule)) return;
    this.#cut.add(rule);
    for (const track of this.#tracks.values()) {
      track.returns = 0;
      for (const held of track.held.splice(0)) {
        if (held.rule !== rule) {
          track.held.push(held);
          continue;
        }
        // They go nowhere; who published them need not wait.
        this.#deps.onDropped(rule);
        held.done.resolve();
      }
      if (track.tried === rule) tell(track);
    }
    this.#deps.onCut(rule, topic);
  }

  #release(track: Track): void {
    track.timer?.cancel();
    tell(track);
    for (const held of track.held.splice(0)) {
      forwarded(held).then(held.done.resolve, held.done.reject);
    }
  }

  #after(track: Track, delayMs: number, task: () => void): void {
    track.timer?.cancel();
    track.timer = this.#deps.clock.after(delayMs, task);
  }

  /** Gateways of one loop must not look at the same moment: hence the random part. */
  #waitMs(track: Track): number {
    const baseMs = Math.min(MAX_WAIT_MS, Math.max(MIN_WAIT_MS, 4 * track.gapMs));
    return baseMs * (1 + this.#random() / 2);
  }
}

/** A loop without marks comes back through a bridge, which says so; other clients are left alone. */
function isFromBridge({ origin }: Message): boolean {
  return origin.kind === "bridge" || (origin.kind === "client" && origin.isBridge === true);
}

/** Tells the publishers of what was tried how it went. */
function tell(track: Track): void {
  for (const { sent, done } of track.trials.splice(0)) sent.then(done.resolve, done.reject);
}

/** Sends a message; what fails at once fails as a promise, and is heard of when it is asked. */
function forwarded({ forward }: Held): Promise<void> {
  const sent = (async () => forward())();
  sent.catch(() => undefined);
  return sent;
}

function printOf(payload: Buffer): Buffer {
  if (payload.length > MAX_PRINT_BYTES) return hash("sha1", payload, "buffer");
  // A payload may be a slice of a large chunk that must not be kept for it.
  const own = Buffer.allocUnsafeSlow(payload.length);
  payload.copy(own);
  return own;
}

function isPrintOf(print: Buffer, payload: Buffer): boolean {
  if (payload.length <= MAX_PRINT_BYTES) return print.equals(payload);
  return print.equals(hash("sha1", payload, "buffer"));
}
