import type { EngineStore, StoredMessage, StoredSubscription } from "../mqtt/index.ts";
import { Deque } from "./deque.ts";
import type { Outgoing } from "./outgoing.ts";
import { Publication } from "./publication.ts";
import { type Retained, type RetainedIndex, walkRetained } from "./retained.ts";
import type { Session } from "./session.ts";

/** What the delivery works with. */
export interface RetainedDeliveryContext {
  readonly index: RetainedIndex;
  readonly store: EngineStore;
  readonly outgoing: Outgoing;
  /** Whether the publisher may still publish it and the receiver still read it. */
  readonly mayDeliver: (
    session: Session,
    subscription: StoredSubscription,
    message: StoredMessage,
  ) => boolean;
  /** Whether retained messages are delivered at all. */
  readonly isOn: () => boolean;
  readonly onReadFailed: (err: unknown) => void;
}

interface Walk {
  readonly session: Session;
  readonly subscription: StoredSubscription;
  readonly matches: Iterator<Retained | null>;
  /** Begun for a session left behind: QoS 1 and 2 go into its queue. */
  readonly isForAbsent: boolean;
  isReading: boolean;
}

/** Time one turn of the loop spends on retained messages, all receivers together. */
const SLICE_MS = 3;
const CLOCK_CHECK = 16;

/**
 * Sends retained messages to new subscriptions (MQTT 5.0 §3.3.1.3): a little in each turn of the
 * loop, in turn for all who wait, and for each only as fast as it reads.
 */
export class RetainedDelivery {
  readonly #context: RetainedDeliveryContext;
  readonly #walks = new Map<Session, Deque<Walk>>();
  /** Sessions with room, in turn. */
  #ready = new Set<Session>();
  #isScheduled = false;
  readonly #pub = new Publication();

  constructor(context: RetainedDeliveryContext) {
    this.#context = context;
  }

  /** Starts sending what matches `subscription`. `filter` is it without a share. */
  begin(session: Session, subscription: StoredSubscription): void {
    if (this.#context.index.size === 0 || !this.#context.isOn()) return;
    const matches = walkRetained(this.#context.index, subscription.filter);
    let walks = this.#walks.get(session);
    if (walks === undefined) {
      walks = new Deque();
      this.#walks.set(session, walks);
    }
    const isForAbsent = session.link === null;
    walks.push({ session, subscription, matches, isForAbsent, isReading: false });
    session.wantsRoom = true;
    this.onRoom(session);
  }

  /** `session` could take more. */
  onRoom(session: Session): void {
    if (!this.#walks.has(session)) return;
    this.#ready.add(session);
    this.#schedule();
  }

  /** The filter is gone, or all of them with the session. */
  cancel(session: Session, filter: string | null): void {
    const walks = this.#walks.get(session);
    if (walks === undefined) return;
    if (filter !== null) walks.filter((walk) => walk.subscription.filter !== filter);
    if (filter === null || walks.length === 0) this.#forget(session);
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#turn();
    });
  }

  #turn(): void {
    const endMs = performance.now() + SLICE_MS;
    while (this.#ready.size > 0) {
      const ready = this.#ready;
      this.#ready = new Set();
      for (const session of ready) {
        if (performance.now() > endMs) {
          this.#ready.add(session);
          continue;
        }
        if (this.#serve(session)) this.#ready.add(session);
      }
      if (performance.now() > endMs) break;
    }
    if (this.#ready.size > 0) this.#schedule();
  }

  /** A few steps for one session; true when it could take more at once. */
  #serve(session: Session): boolean {
    const walks = this.#walks.get(session);
    const walk = walks?.peek();
    if (walks === undefined || walk === undefined || walk.isReading) return false;
    for (let i = 0; i < CLOCK_CHECK; i++) {
      if (!mayTake(walk)) return false;
      const step = walk.matches.next();
      if (step.done === true) {
        walks.shift();
        if (walks.length === 0) this.#forget(session);
        return walks.length > 0;
      }
      if (step.value === null) continue;
      const found = this.#context.index.fetch(step.value);
      if (found instanceof Promise) {
        this.#read(walk, found);
        return false;
      }
      this.#send(walk, found);
    }
    return true;
  }

  #read(walk: Walk, reading: Promise<StoredMessage | null>): void {
    walk.isReading = true;
    reading
      .then((message) => {
        if (message !== null && this.#walks.get(walk.session)?.peek() === walk) {
          this.#send(walk, message);
        }
      }, this.#context.onReadFailed)
      .finally(() => {
        walk.isReading = false;
        this.onRoom(walk.session);
      });
  }

  #send({ session, subscription }: Walk, message: StoredMessage): void {
    if (!this.#context.mayDeliver(session, subscription, message)) return;
    const pub = this.#pub;
    pub.load(message);
    // For those who time deliveries, its way begins here.
    pub.publishedMs = Date.now();
    let expiryS = -1;
    if (message.expiresAtMs !== null) {
      expiryS = Math.ceil((message.expiresAtMs - this.#context.store.nowMs()) / 1000);
      if (expiryS <= 0) return;
    }
    const qos = subscription.qos < message.qos ? subscription.qos : message.qos;
    const ids = subscription.subscriptionId === null ? [] : [subscription.subscriptionId];
    this.#context.outgoing.begin(pub);
    session.deliver(pub, qos, true, ids, null, expiryS);
    if (pub.ticket === null) return;
    pub.ticket.seal(() => undefined);
    this.#context.store.schedule(false);
  }

  #forget(session: Session): void {
    this.#walks.delete(session);
    this.#ready.delete(session);
    session.wantsRoom = false;
  }
}

function mayTake({ session, isForAbsent }: Walk): boolean {
  const { link } = session;
  if (link === null) return isForAbsent && session.store !== null;
  return session.hasRoom && !link.writer.isBlocked;
}
