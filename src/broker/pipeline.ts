import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { EngineStore, Message, QoS, StoredMessage } from "../mqtt/index.ts";
import type { MessageChange } from "./aedes-packet.ts";
import { REASON, type ReasonCode } from "./codec/index.ts";
import type { Committer } from "./committer.ts";
import type { Counters } from "./counters.ts";
import type { LocalHandler } from "./handler.ts";
import type { Hooks } from "./hooks.ts";
import type { PeakLevels } from "./levels.ts";
import type { RetainerLimits } from "./limits.ts";
import type { Outgoing } from "./outgoing.ts";
import { Publication } from "./publication.ts";
import type { RetainedIndex } from "./retained.ts";
import type { Plan, Receiver, Router } from "./router.ts";
import type { Session } from "./session.ts";
import type { ShareGroup } from "./share-group.ts";
import { Ticket } from "./ticket.ts";
import type { Watch } from "./watch.ts";

/** A topic's plan in this broker. */
export type TopicPlan = Plan<Session, LocalHandler>;

/** What the pipeline works with. */
export interface PipelineContext {
  readonly log: Log;
  readonly store: EngineStore;
  readonly committer: Committer;
  readonly outgoing: Outgoing;
  readonly counters: Counters;
  readonly levels: PeakLevels;
  readonly watch: Watch;
  readonly router: Router<Session, LocalHandler>;
  readonly retained: RetainedIndex;
  readonly hooks: Hooks;
  readonly retainer: RetainerLimits;
  readonly onNotRetained: (topic: string, reason: string) => void;
  /** Hands what is published here to other brokers; null when there are none. */
  readonly forward: ((pub: Publication) => Promise<void>) | null;
}

/** What became of a message of the gateway itself. */
export interface Published {
  /** Clients, sessions left behind and parts of the gateway it was meant for. */
  readonly receivers: number;
  /** Wall clock, ms. */
  readonly publishedMs: number;
}

/** The way of every message: plan → store what must last → deliver → acknowledge. */
export class Pipeline {
  readonly #context: PipelineContext;
  readonly #shared = new Publication();

  constructor(context: PipelineContext) {
    this.#context = context;
  }

  /** The publication object for the next message; a new one while the usual one is in use. */
  acquire(): Publication {
    const pub = this.#shared.isBusy ? new Publication() : this.#shared;
    pub.begin();
    return pub;
  }

  /**
   * Brings a message to everybody in `plan`. Afterwards `pub.ticket` is null when the publisher may
   * be told at once. `from` is the publisher's own session, for No Local; with `needsCommit` its
   * inbound marker goes into the same group, and must be durable whatever the receivers do.
   * @returns success, 0x10 without receivers, or 0x97 when the store takes no more: then nothing
   * was delivered.
   */
  route(pub: Publication, plan: TopicPlan, from: Session | null, needsCommit = false): ReasonCode {
    const { counters, outgoing, retained, store, watch } = this.#context;
    const wasBusy = pub.isBusy;
    pub.isBusy = true;
    if (pub.qos > 0 || pub.retain) {
      const refused = store.admit(pub.sizeBytes) !== null && needsStore(pub, plan);
      if (refused) {
        pub.isBusy = wasBusy;
        counters.storeRefused++;
        watch.observer?.dropped(null, pub.topic, "quota_exceeded");
        return REASON.quotaExceeded;
      }
    }
    let expiryS = -1;
    if (pub.expiresAtMs !== null) {
      expiryS = Math.max(0, Math.ceil((pub.expiresAtMs - store.nowMs()) / 1000));
    }
    if (watch.observer !== null) {
      pub.stamp();
      watch.observer.published(pub, from === null ? null : from.clientId);
    }
    outgoing.begin(pub);
    const { authorizeForward } = this.#context.hooks;
    const { receivers, shares } = plan;
    for (let i = 0; i < receivers.length; i++) {
      let receiver: Receiver<Session> | null | undefined = receivers[i];
      if (receiver === undefined) continue;
      if (receiver.hasNoLocal && receiver.target === from) {
        receiver = receiver.forOwn; // [MQTT-3.8.3-3]
        if (receiver === null) {
          counters.noLocal++;
          continue;
        }
      }
      const { target } = receiver;
      if (authorizeForward !== null) {
        const verdict = authorizeForward(target, pub.keep());
        if (verdict === false) {
          counters.heldBack++;
          continue;
        }
        if (verdict !== true) {
          this.#deliverChanged(pub, receiver, verdict, expiryS);
          continue;
        }
      }
      const qos = receiver.qos < pub.qos ? receiver.qos : pub.qos;
      const retain = pub.retain && receiver.retainAsPublished;
      target.deliver(pub, qos, retain, receiver.subscriptionIds, null, expiryS);
    }
    for (const share of shares) this.#deliverShared(pub, share, expiryS);
    outgoing.end();
    if (plan.handlers.length > 0) this.#callHandlers(pub, plan);
    if (!pub.isForeign) this.#tellOthers(pub, from);
    if (pub.retain) this.#retain(pub, retained);
    pub.isBusy = wasBusy;
    if (needsCommit) {
      pub.ticket ??= new Ticket();
      pub.ticket.needCommit();
    }
    if (pub.ticket?.waitsForStore === true) this.#awaitCommit(pub.ticket, plan, pub, needsCommit);
    if (pub.receivers > 0) return REASON.success;
    if (pub.counts > 0 && !pub.isForeign) {
      counters.noSubscriber++;
      watch.observer?.dropped(null, pub.topic, "no_subscriber");
    }
    return REASON.noMatchingSubscribers;
  }

  /**
   * Publishes a message of the gateway itself, or one that another broker has published; resolves
   * when whatever must last is stored.
   */
  publish(message: Message, isForeign = false): Promise<Published> {
    return this.offer(message, isForeign) ?? Promise.reject(new StoreRefused());
  }

  /** As `publish`, but null when the store takes no more: then nothing was recorded. */
  offer(message: Message, isForeign = false): Promise<Published> | null {
    const { store, router } = this.#context;
    const interval = message.properties?.messageExpiryInterval;
    const stored: StoredMessage = {
      ...message,
      publishedMs: Date.now(),
      expiresAtMs: interval === undefined ? null : store.nowMs() + interval * 1000,
    };
    const pub = this.acquire();
    pub.load(stored);
    pub.isForeign = isForeign;
    const plan = router.plan(message.topic);
    const reason = this.route(pub, plan, null);
    if (reason === REASON.quotaExceeded) return null;
    const published = { receivers: reachOf(plan), publishedMs: stored.publishedMs };
    const { ticket } = pub;
    if (ticket === null) return Promise.resolve(published);
    return new Promise((resolve, reject) => {
      ticket.seal(({ reason: end }) => {
        if (end === REASON.success) resolve(published);
        else reject(ticket.cause ?? new StoreRefused());
      });
    });
  }

  /** Gives one copy of a shared subscription to another member, or keeps it in none ([MQTT-4.8.2-6]). */
  redeliver(share: ShareGroup<Session>, message: StoredMessage, qos: QoS): void {
    const pub = this.acquire();
    pub.load(message);
    if (qos < pub.qos) pub.qos = qos;
    const { store, counters } = this.#context;
    let expiryS = -1;
    if (pub.expiresAtMs !== null) {
      expiryS = Math.ceil((pub.expiresAtMs - store.nowMs()) / 1000);
      if (expiryS <= 0) {
        counters.expired++; // [MQTT-3.3.2-5]
        return;
      }
    }
    pub.isBusy = true;
    this.#context.outgoing.begin(pub);
    this.#deliverShared(pub, share, expiryS);
    this.#context.outgoing.end();
    pub.isBusy = false;
    pub.ticket?.seal(() => undefined);
  }

  /** A receiver's copy that a hook has changed. */
  #deliverChanged(
    pub: Publication,
    { target, qos, retainAsPublished, subscriptionIds }: Receiver<Session>,
    change: MessageChange,
    expiryS: number,
  ): void {
    const { outgoing } = this.#context;
    const own = new Publication();
    own.load({ ...pub.keep(), ...change });
    own.ticket = pub.ticket;
    outgoing.begin(own);
    const retain = own.retain && retainAsPublished;
    target.deliver(own, qos < pub.qos ? qos : pub.qos, retain, subscriptionIds, null, expiryS);
    outgoing.begin(pub);
    pub.ticket = own.ticket;
    pub.receivers += own.receivers;
  }

  /** Hook, event and other brokers; a QoS 1 or 2 publisher waits for them. */
  #tellOthers(pub: Publication, from: Session | null): void {
    const { hooks, forward, log } = this.#context;
    const waits: Promise<void>[] = [];
    const { published } = hooks;
    if (published !== null) waits.push(published(pub.keep(), from));
    if (forward !== null) waits.push(forward(pub));
    for (const wait of waits) {
      if (pub.qos === 0) {
        wait.catch((err: unknown) =>
          log.warn({ err: reasonOf(err) }, "the published hook or another broker failed"),
        );
      } else {
        pub.ticket ??= new Ticket();
        pub.ticket.addHandler(wait);
      }
    }
  }

  #deliverShared(pub: Publication, share: ShareGroup<Session>, expiryS: number): void {
    const member = share.pick((session) => gradeOf(session, pub.qos));
    if (member === null) return;
    const { subscription } = member;
    const qos = subscription.qos < pub.qos ? subscription.qos : pub.qos;
    const retain = pub.retain && subscription.retainAsPublished;
    const ids = subscription.subscriptionId === null ? [] : [subscription.subscriptionId];
    member.target.deliver(pub, qos, retain, ids, share, expiryS);
  }

  #callHandlers(pub: Publication, plan: TopicPlan): void {
    const message = pub.keep();
    for (const { handle, filter } of plan.handlers) {
      pub.receivers++;
      try {
        const done = handle(message);
        if (done === undefined) continue;
        if (pub.qos === 0) {
          done.catch((err: unknown) => this.#context.log.warn({ err, filter }, "handler failed"));
          continue;
        }
        pub.ticket ??= new Ticket();
        pub.ticket.addHandler(done);
      } catch (err) {
        this.#context.log.error({ err, filter }, "handler failed");
      }
    }
  }

  #retain(pub: Publication, retained: RetainedIndex): void {
    const { retainer } = this.#context;
    if (!retainer.isOn) return;
    let hasChanged = false;
    if (pub.payloadBytes > 0) hasChanged = this.#keepRetained(pub, retained);
    else if (retainer.isClearedByEmpty) hasChanged = retained.remove(pub.topic);
    this.#context.levels.retained(retained.size);
    if (pub.qos === 0) {
      if (hasChanged) this.#context.store.schedule(false);
      return;
    }
    // An unchanged state may itself be in a group that is not durable yet.
    pub.ticket ??= new Ticket();
    pub.ticket.needCommit();
  }

  /** False when it may not be kept: it is delivered all the same. */
  #keepRetained(pub: Publication, retained: RetainedIndex): boolean {
    const { retainer, onNotRetained, store } = this.#context;
    if (pub.payloadBytes > retainer.maxPayloadBytes) {
      onNotRetained(pub.topic, "its payload is too large");
      return false;
    }
    const isFull = retainer.maxMessages > 0 && retained.size >= retainer.maxMessages;
    if (isFull && retained.get(pub.topic) === null) {
      onNotRetained(pub.topic, "there are too many retained messages");
      return false;
    }
    this.#context.counters.retained += pub.counts;
    const message = pub.keep();
    if (retainer.expiryS === 0 || message.expiresAtMs !== null) return retained.put(message);
    return retained.put({ ...message, expiresAtMs: store.nowMs() + retainer.expiryS * 1000 });
  }

  /** A copy for somebody away, or a retained message, is written at once; the rest may wait for its receivers. */
  #awaitCommit(ticket: Ticket, plan: TopicPlan, pub: Publication, needsCommit: boolean): void {
    const urgent =
      needsCommit ||
      pub.retain ||
      plan.receivers.some(({ target }) => target.store !== null && !target.isOnline);
    this.#context.committer.wait(ticket, urgent);
  }
}

/** The store takes no more, so that a message of the gateway itself was not taken either. */
export class StoreRefused extends Error {
  constructor() {
    super("the store takes no more messages");
    this.name = "StoreRefused";
  }
}

/** Online and able to send at once, online or kept by its session, or not at all (MQTT 5.0 §4.8.2). */
function gradeOf(session: Session, qos: QoS): 0 | 1 | 2 {
  if (session.hasRoom) return 2;
  return session.isOnline || (qos > 0 && session.store !== null) ? 1 : 0;
}

/** How many a topic's messages are meant for; of a shared subscription one member gets them. */
function reachOf({ receivers, shares, handlers }: TopicPlan): number {
  return receivers.length + shares.length + handlers.length;
}

function needsStore(pub: Publication, plan: TopicPlan): boolean {
  if (pub.retain && pub.payloadBytes > 0) return true;
  if (pub.qos === 0) return false;
  if (plan.receivers.some(({ target, qos }) => target.store !== null && qos > 0)) return true;
  return plan.shares.length > 0;
}
