import type { Message, Peer, StoredSubscription, Topic, TopicFilter } from "../mqtt/index.ts";

/** Verifies who a client is. */
export interface Authenticator {
  /**
   * The verdict on a CONNECT; `username` and `password` are null when it has none. Whether it is a
   * superuser's is handed to the authorizer with each request. A rejection refuses the client with
   * "server unavailable".
   */
  authenticate(request: {
    clientId: string;
    username: string | null;
    password: Buffer | null;
    peer: Peer;
  }): Promise<"accepted" | "accepted_superuser" | "bad_credentials" | "not_authorized">;
}

/** Decides what a client may use. */
export interface Authorizer {
  /** What happens to a PUBLISH that is denied: dropped and acknowledged, or the client closed. */
  readonly denyAction: "ignore" | "disconnect";
  /**
   * Changes whenever an answer may have changed. With it the engine asks once for each client,
   * topic, QoS and Retain and remembers the answer until the number changes; without it, or while it
   * is negative, for every message.
   */
  revision?(): number;
  /**
   * `topic` is the topic of a PUBLISH or will, or the filter of a SUBSCRIBE; `qos` and `retain` are
   * the message's, or the subscription's and false. Must be quick.
   */
  authorize(request: {
    clientId: string;
    username: string | null;
    address: string;
    isSuperuser: boolean;
    action: "publish" | "subscribe";
    topic: string;
    qos: 0 | 1 | 2;
    retain: boolean;
  }): boolean;
}

/** A message that says which one of its sender's it is. */
export interface RepeatMark {
  /** The same one came before: `safe`, or resolves once that one is; rejects when it failed. */
  readonly before: "safe" | Promise<void> | null;
  /** The message is safe, or was refused and may come again. */
  settle(isSafe: boolean): void;
}

/** Knows messages again that another gateway's bridge sends twice, across connections. */
export interface RepeatFilter {
  /** Null for a message without a mark. */
  take(
    clientId: string,
    userProperties: readonly (readonly [string, string])[] | undefined,
  ): RepeatMark | null;
}

/** Keeps clients out before anybody asks for their password. */
export interface Admission {
  isBanned(client: {
    readonly clientId: string;
    readonly username: string | null;
    readonly address: string;
  }): boolean;
}

/** Renames topics on their way in. */
export interface TopicRewrite {
  readonly hasPublishRules: boolean;
  readonly hasSubscribeRules: boolean;
  /** Changes with the rules: a name is rewritten once for each client while it stays the same. */
  readonly revision: number;
  /** The topic a PUBLISH is routed under. */
  topic(client: Renamed, name: Topic): Topic;
  /** The filter a SUBSCRIBE or UNSUBSCRIBE is about. */
  filter(client: Renamed, filter: TopicFilter): TopicFilter;
}

/** Whose topic is renamed. */
export interface Renamed {
  readonly clientId: string;
  readonly username: string | null;
}

/** Takes what is published to `$delayed/{seconds}/{topic}`. */
export interface DelayedMessages {
  /** When false, `$delayed/…` is a topic like any other. */
  readonly isEnabled: boolean;
  /**
   * Recorded in the open group when it returns, durable when the promise resolves; null when it
   * takes no more.
   */
  add(message: Message, delayMs: number): Promise<void> | null;
}

/** Subscriptions that clients get without asking, after CONNACK. */
export interface AutoSubscriptions {
  readonly isActive: boolean;
  subscriptionsOf(client: {
    readonly clientId: string;
    readonly username: string | null;
    readonly address: string;
    readonly tcpPort: number;
  }): readonly Omit<StoredSubscription, "subscriptionId">[];
}
