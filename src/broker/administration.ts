import { GatewayError } from "../errors/index.ts";
import type {
  ClientDetails,
  ClientInfo,
  QueuePage,
  SessionGlance,
  StoredMessage,
  SubscriptionInfo,
  TopicFilter,
  WantedSubscription,
} from "../mqtt/index.ts";
import { REASON } from "./codec/index.ts";
import type { Engine } from "./engine.ts";
import { type QueueQuestion, queuePage } from "./queue-view.ts";
import type { Retained } from "./retained.ts";
import { Session } from "./session.ts";
import { clientDetails, clientInfo } from "./views.ts";

/** What administrators see of clients, sessions and topics, and do to them. */
export interface Administration {
  /** Connected clients, and the sessions left behind by those that may come back. */
  clients(): Iterable<ClientInfo>;
  client(clientId: string): ClientInfo | undefined;
  /** The same in the order of their numbers, at next to no cost for each. */
  sessions(): Iterable<SessionGlance>;
  session(clientId: string): SessionGlance | undefined;
  sessionCount(): number;
  details(clientId: string): ClientDetails | undefined;
  /** The same of one of `sessions()`, even when it has ended meanwhile. */
  describe(session: SessionGlance): ClientDetails;
  /** Of connected clients and of sessions left behind, also those from before a restart. */
  subscriptions(): Iterable<SubscriptionInfo>;
  /** @throws GatewayError CLIENT_NOT_FOUND */
  subscriptionsOf(clientId: string): Iterable<SubscriptionInfo>;
  /**
   * Subscribes a client, or a session left behind, as its own SUBSCRIBE would: stored where the
   * session is, retained messages delivered. All or nothing. With `isGranted` the access rules are
   * not asked, now or when the session comes back.
   * @throws GatewayError CLIENT_NOT_FOUND, SUBSCRIPTION_DENIED, STORE_WRITE_FAILED
   */
  subscribeClient(
    clientId: string,
    wanted: readonly WantedSubscription[],
    options?: { readonly isGranted: boolean },
  ): Promise<void>;
  /** @throws GatewayError CLIENT_NOT_FOUND, STORE_WRITE_FAILED */
  unsubscribeClient(clientId: string, filters: readonly TopicFilter[]): Promise<void>;
  /** Closes the client's connection (0x98); its will is published. False when it is not connected. */
  disconnect(clientId: string): boolean;
  /**
   * Closes the client's connection (0x98) and ends its session, queue and subscriptions with it; a
   * waiting will is published. Resolves when that is durable; false when there is no such session.
   * @throws GatewayError STORE_WRITE_FAILED
   */
  removeClient(clientId: string): Promise<boolean>;
  /** Another Keep Alive for a connected client, seconds, from now on; 0 = none. @throws GatewayError CLIENT_NOT_FOUND */
  setKeepAlive(clientId: string, seconds: number): void;
  /** What waits in a session's queue, or is on its way. @throws GatewayError CLIENT_NOT_FOUND, STORE_READ_FAILED */
  queue(clientId: string, question: QueueQuestion): Promise<QueuePage>;
  /** Filters that clients or sessions are subscribed to, each once; a share is one of its own. */
  filters(): Iterable<TopicFilter>;
  /** The filters of `filters()` that are this one, in all shares when it names none. */
  filtersAt(filter: TopicFilter): readonly TopicFilter[];
  /** Topics with a retained message, in order of their first one; with `filter`, those it matches. */
  retainedTopics(filter?: string): Iterable<string>;
  retainedCount(): number;
  /** Null when there is none, or it has expired. @throws GatewayError STORE_READ_FAILED */
  retainedMessage(topic: string): Promise<StoredMessage | null>;
  /** Removes retained messages; resolves with their number when that is durable. @throws GatewayError STORE_WRITE_FAILED */
  removeRetained(topics: Iterable<string>): Promise<number>;
}

/** Done in one turn of the loop when there is much. */
const SLICE = 500;
/** Removed in one commit. */
const GROUP = 5000;

const REFUSALS: ReadonlyMap<number, string> = new Map([
  [REASON.topicFilterInvalid, "it has too many levels"],
  [REASON.quotaExceeded, "the client has too many subscriptions already"],
  [REASON.notAuthorized, "the access rules deny it"],
]);

export function administration(engine: Engine): Administration {
  const { lifecycle, retained, router } = engine;
  const { sessions } = lifecycle;

  function sessionOf(clientId: string): Session {
    const session = sessions.get(clientId);
    if (session === undefined) throw new GatewayError("CLIENT_NOT_FOUND", { clientId });
    return session;
  }

  function committed(): Promise<void> {
    return new Promise((resolve, reject) => {
      engine.committer.after(true, (failed) => {
        if (!failed) resolve();
        else reject(new GatewayError("STORE_WRITE_FAILED", { reason: "the commit failed" }));
      });
    });
  }

  return {
    *clients() {
      for (const session of sessions.values()) yield clientInfo(session, engine);
    },

    client(clientId) {
      const session = sessions.get(clientId);
      return session && clientInfo(session, engine);
    },

    sessions: () => sessions.values(),
    session: (clientId) => sessions.get(clientId),
    sessionCount: () => sessions.size,

    details(clientId) {
      const session = sessions.get(clientId);
      return session && clientDetails(session, engine);
    },

    describe(session) {
      if (session instanceof Session) return clientDetails(session, engine);
      throw new TypeError("not a session of this broker");
    },

    *subscriptions() {
      for (const session of sessions.values()) yield* rowsOf(session);
    },

    subscriptionsOf: (clientId) => rowsOf(sessionOf(clientId)),

    async subscribeClient(clientId, wanted, options) {
      const session = sessionOf(clientId);
      const isGranted = options?.isGranted === true;
      for (const { filter, qos } of wanted) {
        const code = engine.subscribing.refusalFor(session, { filter, qos }, isGranted);
        if (code !== null) {
          const reason = REFUSALS.get(code) ?? "it is refused";
          throw new GatewayError("SUBSCRIPTION_DENIED", { clientId, filter, reason });
        }
      }
      for (const one of wanted) engine.subscribing.subscribeOther(session, one, isGranted);
      if (session.store !== null) await committed();
    },

    async unsubscribeClient(clientId, filters) {
      const session = sessionOf(clientId);
      for (const filter of filters) lifecycle.unsubscribe(session, filter);
      if (session.store !== null) await committed();
    },

    disconnect(clientId) {
      const connection = engine.connectionOf(sessions.get(clientId));
      connection?.end(REASON.administrativeAction, "disconnected by an administrator");
      return connection !== null;
    },

    async removeClient(clientId) {
      const session = sessions.get(clientId);
      if (session === undefined) return false;
      const isStored = session.store !== null;
      engine.connectionOf(session)?.end(REASON.administrativeAction, "removed by an administrator");
      // A session without an expiry interval has ended with its connection.
      if (sessions.get(clientId) === session) lifecycle.end(session);
      if (isStored) await committed();
      return true;
    },

    setKeepAlive(clientId, seconds) {
      const session = sessionOf(clientId);
      const connection = engine.connectionOf(session);
      if (connection === null) throw new GatewayError("CLIENT_NOT_FOUND", { clientId });
      connection.setKeepAlive(seconds);
      session.keepAliveS = seconds;
      lifecycle.describeAgain(session);
    },

    queue: async (clientId, question) => queuePage(sessionOf(clientId), question),

    filters: () => router.filters(),
    filtersAt: (filter) => router.filtersAt(filter),

    *retainedTopics(filter) {
      if (filter === undefined) yield* retained.topics();
      else for (const found of retained.matching(filter)) if (found !== null) yield found.topic;
    },

    retainedCount: () => retained.size,

    async retainedMessage(topic) {
      const found = retained.get(topic);
      if (found === null) return null;
      return isOver(found) ? null : retained.fetch(found);
    },

    async removeRetained(topics) {
      let removed = 0;
      let seen = 0;
      for (const topic of topics) {
        if (retained.remove(topic)) removed++;
        if (++seen % SLICE === 0) await new Promise((resolve) => setImmediate(resolve));
        if (removed > 0 && seen % GROUP === 0) await committed();
      }
      if (removed > 0) await committed();
      return removed;
    },
  };

  function isOver({ expiry }: Retained): boolean {
    return expiry !== null && expiry.atMs <= engine.store.nowMs();
  }
}

function* rowsOf({ clientId, store, subscriptions }: Session): Generator<SubscriptionInfo> {
  const isDurable = store !== null;
  for (const subscription of subscriptions.values()) {
    const { filter, qos, noLocal, retainAsPublished, retainHandling } = subscription;
    yield { clientId, filter, qos, noLocal, retainAsPublished, retainHandling, isDurable };
  }
}
