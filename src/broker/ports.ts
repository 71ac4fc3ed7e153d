import type { Message, Peer, StoredSubscription, Topic, TopicFilter } from "../mqtt/index.ts";

/** Verifies who a client is. */
export interface Authenticator {
  /**
   * The verdict on a CONNECT; `username` and `password` are null when it has none. A rejection
   * refuses the client with "server unavailable".
   */
  authenticate(request: {
    clientId: string;
    username: string | null;
    password: Buffer | null;
    peer: Peer;
  }): Promise<"accepted" | "bad_credentials" | "not_authorized">;
}

/** Decides what a client may use. */
export interface Authorizer {
  /** What happens to a PUBLISH that is denied: dropped and acknowledged, or the client closed. */
  readonly denyAction: "ignore" | "disconnect";
  /**
   * Changes whenever an answer may have changed. With it the engine asks once for each client and
   * topic and remembers the answer until the number changes; without it, for every message.
   */
  revision?(): number;
  /** `topic` is the topic of a PUBLISH or will, or the filter of a SUBSCRIBE. Must be quick. */
  authorize(request: {
    clientId: string;
    username: string | null;
    address: string;
    action: "publish" | "subscribe";
    topic: string;
  }): boolean;
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
