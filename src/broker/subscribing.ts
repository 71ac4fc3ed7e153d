import { isGatewayError } from "../errors/index.ts";
import {
  parseShare,
  type StoredSubscription,
  type TopicFilter,
  topicFilter,
  type WantedSubscription,
} from "../mqtt/index.ts";
import type { Identity } from "./access.ts";
import {
  type FilterRequest,
  PACKET,
  PacketFault,
  REASON,
  readSubscribe,
  readUnsubscribe,
  subscribeAck,
} from "./codec/index.ts";
import { type Connection, PAUSE } from "./connection.ts";
import type { Engine } from "./engine.ts";
import type { Session } from "./session.ts";
import { clientEvent } from "./watch.ts";

/** A 3.x SUBACK has one code for every refusal (MQTT 3.1.1 §3.9.3). */
const FAILURE = 0x80;
/** A SUBSCRIBE with this many times the filters allowed is not answered one by one. */
const HARD_FACTOR = 10;
/** A filter with more levels is no mistake. */
const HOSTILE_LEVELS = 256;

interface Granted {
  readonly subscription: StoredSubscription;
  readonly sendsRetained: boolean;
}

/** SUBSCRIBE and UNSUBSCRIBE (MQTT 5.0 §3.8 – §3.11). */
export class Subscribing {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** @throws PacketFault */
  subscribe(
    connection: Connection,
    session: Session,
    buf: Buffer,
    body: number,
    end: number,
  ): void {
    const { isV5 } = connection;
    const { limits, hooks, counters, detour } = this.#engine;
    const { packetId, filters, subscriptionId } = readSubscribe(
      isV5,
      buf,
      body,
      end,
      limits.maxFiltersPerSubscribe * HARD_FACTOR,
    );
    const checked = filters.map((request) => ({ request, filter: parseFilter(request.filter) }));
    const codes: number[] = [];
    const granted: Granted[] = [];
    connection.workLeft -= filters.length * 10;
    const { authorizeSubscribe } = hooks;

    const grant = (request: FilterRequest, filter: TopicFilter, isAllowed: boolean): void => {
      let refusal: number | null = REASON.notAuthorized;
      if (codes.length >= limits.maxFiltersPerSubscribe) refusal = REASON.quotaExceeded;
      else if (isAllowed) refusal = this.#refusal(connection, session, filter, request.qos);
      const to = detour?.filter(connection, filter) ?? filter;
      if (refusal === null && to !== filter) {
        refusal = this.#refusal(connection, session, to, request.qos);
      }
      if (refusal !== null) {
        if (refusal === REASON.notAuthorized) counters.subscribeAuthError++;
        else counters.subscribeError++;
        codes.push(isV5 ? refusal : FAILURE);
        return;
      }
      granted.push(this.#add(session, request, to, subscriptionId));
      codes.push(request.qos);
    };
    const finish = (): void => this.#answer(connection, session, packetId, codes, granted);

    if (authorizeSubscribe === null) {
      for (const { request, filter } of checked) grant(request, filter, true);
      finish();
      return;
    }
    let next = 0;
    const ask = (): void => {
      const item = checked[next++];
      if (connection.state !== "ready") return;
      if (item === undefined) {
        finish();
        connection.resumeReading(PAUSE.hook);
        return;
      }
      const { filter, request } = item;
      authorizeSubscribe(connection, { filter, qos: request.qos }, (granted) => {
        if (granted === null) grant(request, filter, false);
        else grant({ ...request, qos: granted.qos }, granted.filter, true);
        ask();
      });
    };
    connection.pauseReading(PAUSE.hook);
    ask();
  }

  /** @throws PacketFault */
  unsubscribe(
    connection: Connection,
    session: Session,
    buf: Buffer,
    body: number,
    end: number,
  ): void {
    const { isV5 } = connection;
    const { limits, lifecycle, committer, hooks, counters, detour } = this.#engine;
    const { packetId, filters } = readUnsubscribe(
      isV5,
      buf,
      body,
      end,
      limits.maxFiltersPerSubscribe * HARD_FACTOR,
    );
    const parsed = filters.map(parseFilter);
    connection.workLeft -= filters.length * 10;
    const codes = parsed.map((filter) => {
      const to = detour?.filter(connection, filter) ?? filter;
      // Under its own name when it was subscribed before there was a rule.
      const isEnded = lifecycle.unsubscribe(session, to) || lifecycle.unsubscribe(session, filter);
      return isEnded ? REASON.success : REASON.noSubscriptionExisted;
    });
    if (hooks.listens("unsubscribe")) hooks.emit("unsubscribe", connection, parsed);
    this.#engine.watch.observer?.client(
      clientEvent(connection, "unsubscribed", { filters: parsed.join(", ") }),
    );
    const send = (): void => {
      if (connection.state !== "ready") return;
      const unsuback = subscribeAck(PACKET.unsuback, isV5, packetId, isV5 ? codes : [], {});
      if (confirm(connection, unsuback)) counters.unsubackOut++;
    };
    if (session.store === null) send();
    else committer.after(true, (failed) => (failed ? cannotStore(connection) : send()));
  }

  /** Subscribes a session on somebody else's account. */
  subscribeOther(session: Session, wanted: WantedSubscription, isGranted = false): void {
    const { filter, qos, noLocal = false, retainAsPublished = false, retainHandling = 0 } = wanted;
    const request = { filter, qos, noLocal, retainAsPublished, retainHandling };
    const { subscription, sendsRetained } = this.#add(session, request, filter, null, isGranted);
    if (sendsRetained) this.#engine.retainedDelivery.begin(session, subscription);
  }

  /** What every client gets without asking, whatever the access rules say. */
  subscribeAutomatically(connection: Connection, session: Session): void {
    const { autoSubscriptions, store, trouble } = this.#engine;
    if (autoSubscriptions?.isActive !== true) return;
    const { clientId, username, peer } = connection;
    const { address, tcpPort } = peer;
    for (const row of autoSubscriptions.subscriptionsOf({ clientId, username, address, tcpPort })) {
      const { filter } = row;
      const code = this.refusalFor(session, row, true);
      if (code === null) this.subscribeOther(session, row, true);
      else trouble.report("automatic subscription refused", { clientId, filter, code });
    }
    if (session.store !== null) store.schedule(false);
  }

  /** Why `session` may not have a filter, as a reason code; null when it may. `isGranted` = whatever the rules say. */
  refusalFor(
    session: Session,
    { filter, qos }: { readonly filter: TopicFilter; readonly qos: 0 | 1 | 2 },
    isGranted: boolean,
  ): number | null {
    const { clientId, username, isSuperuser, peerAddress: address } = session;
    const who = { clientId, username, isSuperuser, address };
    return this.#refusal(who, session, filter, qos, isGranted);
  }

  #refusal(
    who: Identity,
    session: Session,
    filter: TopicFilter,
    qos: 0 | 1 | 2,
    isGranted = false,
  ): number | null {
    const { access, limits } = this.#engine;
    const plain = parseShare(filter)?.filter ?? filter;
    if (plain.split("/").length > limits.maxTopicLevels) return REASON.topicFilterInvalid;
    if (
      !session.subscriptions.has(filter) &&
      session.subscriptions.size >= limits.maxSubscriptions
    ) {
      return REASON.quotaExceeded;
    }
    return isGranted || access.maySubscribe(who, plain, qos) ? null : REASON.notAuthorized;
  }

  #add(
    session: Session,
    request: FilterRequest,
    filter: TopicFilter,
    subscriptionId: number | null,
    isGranted = false,
  ): Granted {
    const isNew = !session.subscriptions.has(filter);
    const { qos, retainHandling } = request;
    const subscription: StoredSubscription = {
      filter,
      qos,
      noLocal: request.noLocal || session.isBridge,
      retainAsPublished: request.retainAsPublished || session.isBridge,
      retainHandling,
      subscriptionId,
      ...(isGranted ? { isGranted: true } : undefined),
    };
    this.#engine.lifecycle.subscribe(session, subscription);
    const isShared = filter.startsWith("$share/");
    const sendsRetained = !isShared && (retainHandling === 0 || (retainHandling === 1 && isNew));
    return { subscription, sendsRetained };
  }

  #answer(
    connection: Connection,
    session: Session,
    packetId: number,
    codes: readonly number[],
    granted: readonly Granted[],
  ): void {
    const { committer, hooks, retainedDelivery } = this.#engine;
    this.#engine.watch.observer?.client(
      clientEvent(connection, "subscribed", {
        filters: granted
          .map(({ subscription: { filter, qos } }) => `${filter} QoS ${qos}`)
          .join(", "),
        reason_codes: codes.join(", "),
      }),
    );
    const send = (): void => {
      if (connection.state !== "ready") return;
      const suback = subscribeAck(PACKET.suback, connection.isV5, packetId, codes, {});
      if (!confirm(connection, suback)) return;
      this.#engine.counters.subackOut++;
      for (const { subscription, sendsRetained } of granted) {
        if (sendsRetained) retainedDelivery.begin(session, subscription);
      }
      if (hooks.listens("subscribe")) {
        const list = granted.map(({ subscription: { filter, qos } }) => ({ topic: filter, qos }));
        hooks.emit("subscribe", connection, list);
      }
    };
    if (session.store === null || granted.length === 0) send();
    else committer.after(true, (failed) => (failed ? cannotStore(connection) : send()));
  }
}

/** A client that cannot be answered is not left waiting ([MQTT-3.1.2-24]). */
function confirm(connection: Connection, packet: Buffer): boolean {
  if (connection.sendFitting(packet)) return true;
  connection.fail(REASON.packetTooLarge, "the acknowledgement is larger than the client takes");
  return false;
}

/** A subscription that may not last is not confirmed: the client comes back to what is stored. */
function cannotStore(connection: Connection): void {
  connection.fail(REASON.quotaExceeded, "the store cannot be written");
}

function parseFilter(raw: string): TopicFilter {
  if (raw.split("/", HOSTILE_LEVELS + 1).length > HOSTILE_LEVELS) {
    throw new PacketFault(REASON.topicFilterInvalid, "filter has far too many levels");
  }
  try {
    return topicFilter(raw);
  } catch (err) {
    if (!isGatewayError(err)) throw err;
    throw new PacketFault(REASON.topicFilterInvalid, err.message); // [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1]
  }
}
