import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import { parseShare, type TopicFilter, topicFilter } from "../mqtt/index.ts";
import type { WireSubscription } from "./engine.ts";
import { levelsOf } from "./packet-rules.ts";
import type { Authorizer } from "./ports.ts";
import type { Session } from "./sessions.ts";

/** Who asks. */
export interface Identity {
  readonly clientId: string;
  readonly username: string | null;
  readonly address: string;
}

export interface AccessLimits {
  readonly max_topic_levels: number;
  readonly max_filters_per_subscribe: number;
  readonly max_subscriptions_per_client: number;
}

/** Who may publish and subscribe to what: the authorizer, the reserved topics, and the limits. */
export class Access {
  readonly #authorizer: Authorizer;
  readonly #limits: AccessLimits;
  readonly #log: Log;
  /** aedes asks several times about the same filter of a SUBSCRIBE. */
  readonly #decisions = new WeakMap<object, boolean>();

  constructor(authorizer: Authorizer, limits: AccessLimits, log: Log) {
    this.#authorizer = authorizer;
    this.#limits = limits;
    this.#log = log;
  }

  /** `$SYS` is the gateway's own; the authorizer is not asked about it. */
  mayPublish(who: Identity, topic: string): boolean {
    return topic !== "$SYS" && !topic.startsWith("$SYS/") && this.#allows(who, "publish", topic);
  }

  maySubscribe(who: Identity, filter: string): boolean {
    return this.#allows(who, "subscribe", filter);
  }

  /** Refuses the filters of a SUBSCRIBE that are over the limit, whatever they are. */
  boundSubscribe(subscriptions: readonly WireSubscription[]): void {
    for (const subscription of subscriptions.slice(this.#limits.max_filters_per_subscribe)) {
      this.#decisions.set(subscription, false);
    }
  }

  /** Decides on one filter of a SUBSCRIBE, and notes it in the session when it is granted. */
  grant(who: Identity, session: Session, subscription: WireSubscription): boolean {
    let isGranted = this.#decisions.get(subscription);
    if (isGranted === undefined) {
      isGranted = this.refusal(who, session, topicFilter(subscription.topic)) === null;
      this.#decisions.set(subscription, isGranted);
      if (isGranted) session.filters.set(topicFilter(subscription.topic), subscription.qos);
    }
    return isGranted;
  }

  /** Why the session may not have the filter, null when it may. */
  refusal(who: Identity, session: Session, filter: TopicFilter): string | null {
    const { max_topic_levels, max_subscriptions_per_client } = this.#limits;
    if (parseShare(filter) !== null) return "shared subscriptions need MQTT 5.0";
    if (levelsOf(filter) > max_topic_levels) return `it has more than ${max_topic_levels} levels`;
    if (!session.filters.has(filter) && session.filters.size >= max_subscriptions_per_client) {
      return `the client has ${max_subscriptions_per_client} subscriptions already`;
    }
    return this.maySubscribe(who, filter) ? null : "the access rules deny it";
  }

  #allows(who: Identity, action: "publish" | "subscribe", topic: string): boolean {
    try {
      return this.#authorizer.authorize({ ...who, action, topic });
    } catch (err) {
      this.#log.error({ err: reasonOf(err), action }, "authorizer failed, access denied");
      return false;
    }
  }
}
