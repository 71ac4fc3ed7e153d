import type { Message } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import { type Copies, CopyTable, NOBODY, senderOf } from "./copy-table.ts";
import { remember } from "./remember.ts";

/**
 * How a suspect message comes: by a bridge or any other client; or, whoever that is, again and again by
 * one that did not bring it first, as what goes round does.
 */
export type Source = "bridge" | "client" | "returner";

/** When equal messages are many enough, or come fast enough, to be asked about. */
const BY_BRIDGE = [
  { count: 16, gapMs: 2000 },
  { count: 50, gapMs: Number.POSITIVE_INFINITY },
] as const;
const SUSPECT = {
  bridge: BY_BRIDGE,
  returner: BY_BRIDGE,
  /** Sensors repeat themselves too, and slower. */
  client: [{ count: 30, gapMs: 200 }],
} as const;

/** Copies that one other than the first has brought: by then it is no chance. */
const RETURNS = 12;

/** How long a topic is not asked about again after nothing was found: ever longer. */
const PEACE_MS = {
  bridge: [30_000, 600_000, 3_600_000],
  /** Another gateway that asks at the same time may have spoilt the first ones. */
  returner: [500, 500, 5000, 30_000, 600_000, 3_600_000],
  client: [3_600_000, 86_400_000],
} as const;

/** The step at which the peace begins where trials cannot tell. */
const UNCLEAR_STEP = 3;

/** So much faster than when it was last asked about, it is another matter. */
const FASTER = 5;

const MAX_PEACEFUL = 1024;

interface Peace {
  readonly source: Source;
  /** How often in a row nothing came while everything was held. */
  readonly silences: number;
  readonly untilMs: number;
  readonly times: number;
  readonly gapMs: number;
}

/** What a message looks like. */
export interface Look {
  readonly copies: Copies;
  /** Null where no loop could have brought it. */
  readonly source: Source | null;
  readonly sender: number;
  /** It has come as often as one that is asked about. */
  readonly isFrequent: boolean;
  readonly isSuspect: boolean;
}

/** How a question ended. */
export interface Asked {
  readonly source: Source;
  readonly gapMs: number;
  /** Nothing came while everything was held. */
  readonly wasSilent: boolean;
  /** It looks like a loop, and can be applications that answer each other. */
  readonly isUnclear: boolean;
}

/** Tells which messages might go round, and leaves a topic in peace that was asked about. */
export class Suspicion {
  readonly #clock: Clock;
  readonly #copies = new CopyTable();
  readonly #peace = new Map<string, Peace>();
  /** Each rule that selects a message looks at it; it is counted once. */
  #last: { readonly message: Message; readonly look: Look } | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  look(message: Message): Look {
    if (this.#last?.message === message) return this.#last.look;
    const { topic, payload, origin } = message;
    const nowMs = this.#clock.monotonicMs();
    const sender = senderOf(origin);
    const copies = this.#copies.count(topic, payload, sender, nowMs);
    const source = sourceOf(message, copies);
    const isFrequent = source !== null && isOften(source, copies);
    const isSuspect = isFrequent && !this.#isInPeace(topic, source, copies.gapMs, nowMs);
    const look: Look = { copies, source, sender, isFrequent, isSuspect };
    this.#last = { message, look };
    return look;
  }

  /** The topic was asked about in vain; how often in a row that met with silence. */
  rest(topic: string, asked: Asked): number {
    const { source, gapMs, wasSilent, isUnclear } = asked;
    const known = this.#peace.get(topic);
    const before = known?.silences ?? 0;
    const times = Math.max(known?.times ?? 0, isUnclear ? UNCLEAR_STEP : 0);
    const silences = wasSilent ? before + 1 : 0;
    const steps = PEACE_MS[source];
    const peaceMs = steps[Math.min(times, steps.length - 1)] ?? 0;
    const untilMs = this.#clock.monotonicMs() + peaceMs;
    remember(
      this.#peace,
      topic,
      { source, untilMs, times: times + 1, gapMs, silences },
      MAX_PEACEFUL,
    );
    return silences;
  }

  /** What was found out about it is no reason to leave it in peace. */
  unrest(topic: string): void {
    this.#peace.delete(topic);
  }

  #isInPeace(topic: string, source: Source, gapMs: number, nowMs: number): boolean {
    const peace = this.#peace.get(topic);
    if (peace === undefined || nowMs >= peace.untilMs || gapMs * FASTER < peace.gapMs) return false;
    return source !== "returner" || peace.source === "returner";
  }
}

function isOften(source: Source, { count, gapMs }: Copies): boolean {
  return SUSPECT[source].some((it) => count >= it.count && gapMs <= it.gapMs);
}

function sourceOf({ origin }: Message, { returner, returns }: Copies): Source | null {
  if (origin.kind !== "bridge" && origin.kind !== "client") return null;
  if (returns >= RETURNS && returner !== NOBODY) return "returner";
  return origin.kind === "bridge" || origin.isBridge === true ? "bridge" : "client";
}
