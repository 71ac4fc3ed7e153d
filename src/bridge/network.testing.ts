import { type Message, matches, type Origin, topic } from "../mqtt/index.ts";
import { ManualClock } from "../time/index.ts";
import { LoopBreaker, type LoopRule } from "./loop-breaker.ts";
import { isProbe, probeFilter } from "./loop-probe.ts";
import { createMapping } from "./mapping.ts";

/** A bridge from one broker of a {@link Network} to another. */
export interface Line {
  readonly from: string;
  readonly to: string;
  /** One rule each, with `target` as in a forward rule. */
  readonly filters: readonly (string | { readonly pattern: string; readonly target: string })[];
  /** Another make of broker, which looks for no loops. */
  readonly isPlain?: boolean;
  /** It does not say that it is a bridge. */
  readonly isSilent?: boolean;
  /** The receiving end asks for what it wants, and thus for no probes beyond that. */
  readonly isPull?: boolean;
  readonly delayMs?: number;
}

interface Seen {
  readonly topic: string;
  readonly text: string;
}

/** Brokers and bridges on a clock of their own; nothing is lost, and each line keeps its order. */
export class Network {
  readonly clock = new ManualClock();
  /** The rules that were cut: `from>to filter`. */
  readonly cut: string[] = [];
  /** Those that may be at fault. */
  readonly suspected: string[] = [];
  readonly cleared: string[] = [];
  /** What every broker was given, but for probes. */
  readonly seen = new Map<string, Seen[]>();
  probes = 0;
  dropped = 0;
  /** Messages that were not sent on in the turn they came in. */
  held = 0;
  /** How long one of them was held at most. */
  worstMs = 0;
  readonly #apps: { readonly at: string; readonly filter: string; readonly hear: () => void }[] =
    [];
  readonly #watchers: { readonly at: string; readonly hear: (message: Message) => void }[] = [];
  readonly #ends: {
    readonly line: Line;
    readonly hear: (message: Message) => void | Promise<void>;
  }[] = [];

  readonly #random: () => number;

  constructor(lines: readonly Line[], random: () => number = Math.random) {
    this.#random = random;
    for (const line of lines) this.#lay(line);
  }

  /** A program at a broker, called for each message. */
  listen(at: string, filter: string, hear: () => void): void {
    this.#apps.push({ at, filter, hear });
  }

  /** Resolves when the gateway would acknowledge it. */
  async send(at: string, name: string, text: string, clientId = "app"): Promise<void> {
    const origin: Origin = { kind: "client", clientId, username: null };
    await this.#publish(at, name, Buffer.from(text), origin);
  }

  run(seconds: number): void {
    for (let ms = 0; ms < seconds * 1000; ms += 5) this.clock.advance(5);
  }

  /** Copies that came to one broker. */
  copies(at: string): number {
    return this.seen.get(at)?.length ?? 0;
  }

  #lay(line: Line): void {
    const { from, to, delayMs = 5 } = line;
    const kind = { kind: "client", clientId: `${from}>${to}`, username: null } as const;
    const origin: Origin = line.isSilent === true ? kind : { ...kind, isBridge: true };
    const carry = (name: string, payload: Buffer) => {
      this.clock.after(delayMs, () => void this.#publish(to, name, payload, origin));
    };
    const breaker = new LoopBreaker(
      {
        clock: this.clock,
        random: this.#random,
        onCut: (rule) => this.cut.push(rule),
        onSuspected: (rule) => this.suspected.push(rule),
        onCleared: (rule) => this.cleared.push(rule),
        onDropped: () => {
          this.dropped += 1;
        },
        sendProbe: carry,
        watch: (hear) => {
          const watcher = { at: from, hear };
          this.#watchers.push(watcher);
          return () => void this.#watchers.splice(this.#watchers.indexOf(watcher), 1);
        },
      },
      { isAsking: true },
    );
    for (const given of line.filters) {
      const rule = typeof given === "string" ? { pattern: given, target: "" } : given;
      const map = createMapping({ ...rule, prefix: "", suffix: "" });
      const named: LoopRule = { name: `${from}>${to} ${rule.pattern}`, filter: rule.pattern, map };
      const probes =
        line.isPlain === true || line.isPull === true ? null : probeFilter(rule.pattern);
      const hear = (message: Message): void | Promise<void> => {
        const forward = () => carry(map(message.topic) ?? "", message.payload);
        const isMine = matches(rule.pattern, message.topic);
        const isAsked = probes !== null && matches(probes, message.topic);
        if (!isMine && !isAsked) return;
        if (line.isPlain === true || line.isPull === true) return forward();
        if (isProbe(message.topic)) {
          breaker.probe(named, message);
          return;
        }
        let isSent = false;
        const cameMs = this.clock.monotonicMs();
        const waits = breaker.pass(named, message, () => {
          isSent = true;
          this.worstMs = Math.max(this.worstMs, this.clock.monotonicMs() - cameMs);
          forward();
        });
        if (!isSent && !breaker.isCut(named.name)) this.held += 1;
        return waits;
      };
      this.#ends.push({ line, hear });
    }
  }

  async #publish(at: string, name: string, payload: Buffer, origin: Origin): Promise<void> {
    const message: Message = { topic: topic(name), payload, qos: 1, retain: false, origin };
    for (const watcher of this.#watchers) if (watcher.at === at) watcher.hear(message);
    if (isProbe(name)) this.probes += 1;
    else {
      const seen = this.seen.get(at) ?? [];
      seen.push({ topic: name, text: payload.toString() });
      this.seen.set(at, seen);
      for (const app of this.#apps) if (app.at === at && matches(app.filter, name)) app.hear();
    }
    const here = this.#ends.filter(({ line }) => line.from === at);
    await Promise.all(here.map(async ({ hear }) => hear(message)));
  }
}
