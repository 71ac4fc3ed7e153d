import { GatewayError } from "../errors/index.ts";
import {
  matches,
  parseShare,
  qos,
  type SubscriptionInfo,
  type TopicFilter,
  topicFilter,
  type WantedSubscription,
} from "../mqtt/index.ts";
import { gradually } from "./gradually.ts";

/** Where subscriptions are known and made: the broker. */
export interface SubscriptionDirectory {
  /** Those of offline persistent sessions included. */
  subscriptions(): Iterable<SubscriptionInfo>;
  /** @throws GatewayError CLIENT_NOT_FOUND */
  subscriptionsOf(clientId: string): Iterable<SubscriptionInfo>;
  /** @throws GatewayError CLIENT_NOT_FOUND */
  subscribeClient(
    clientId: string,
    wanted: readonly WantedSubscription[],
    options?: { readonly isGranted: boolean },
  ): Promise<void>;
  /** @throws GatewayError CLIENT_NOT_FOUND */
  unsubscribeClient(clientId: string, filters: readonly TopicFilter[]): Promise<void>;
  /** Filters subscribed to, each once; a share is one of its own. */
  filters(): Iterable<TopicFilter>;
  filtersAt(filter: TopicFilter): readonly TopicFilter[];
}

/** Conditions on a subscription, all to be met; absent ones do not matter. */
export interface SubscriptionFilter {
  readonly qos?: number;
  /** The filter itself, without its share. */
  readonly filter?: string;
  /** A topic or filter: met by each filter that it would match if that were a topic. */
  readonly within?: string;
  readonly group?: string;
  readonly isDurable?: boolean;
}

/** Who listens to what, and subscribing on a client's behalf. */
export interface Subscriptions {
  /** All subscriptions, or one client's. */
  find(filter?: { readonly clientId?: string }): Promise<readonly SubscriptionInfo[]>;
  /** Subscriptions by client id; a client without any is absent. */
  byClient(): Promise<ReadonlyMap<string, readonly SubscriptionInfo[]>>;
  /**
   * Subscribes a client on its behalf; all filters or none.
   * @throws GatewayError MQTT_FILTER_INVALID, MQTT_QOS_INVALID, CLIENT_NOT_FOUND
   */
  subscribe(clientId: string, filters: readonly string[], wantedQos: number): Promise<void>;
  /**
   * Ends subscriptions on a client's behalf; filters it does not hold are ignored.
   * @throws GatewayError MQTT_FILTER_INVALID, CLIENT_NOT_FOUND
   */
  unsubscribe(clientId: string, filters: readonly string[]): Promise<void>;
  /** Row by row, of everybody or of one client. @throws GatewayError CLIENT_NOT_FOUND */
  rows(clientId?: string): Iterable<SubscriptionInfo>;
  /** What tells whether a subscription meets `filter`. @throws GatewayError MQTT_FILTER_INVALID for `within` */
  matcher(filter: SubscriptionFilter): (row: SubscriptionInfo) => boolean;
  /**
   * Subscribes a client on an administrator's word, whatever the access rules say; all or none.
   * @throws GatewayError CLIENT_NOT_FOUND, SUBSCRIPTION_DENIED, STORE_WRITE_FAILED
   */
  grant(clientId: string, wanted: readonly WantedSubscription[]): Promise<void>;
  /** Filters subscribed to by anybody, each once; a share is one of its own. */
  filters(): Iterable<TopicFilter>;
  /** Those of them that are `raw`, in all shares when it names none. @throws GatewayError MQTT_FILTER_INVALID */
  filtersAt(raw: string): readonly TopicFilter[];
}

export function createSubscriptions(deps: { directory: SubscriptionDirectory }): Subscriptions {
  const { directory } = deps;
  return {
    find: ({ clientId } = {}) =>
      gradually(directory.subscriptions(), (row) =>
        clientId === undefined || row.clientId === clientId ? row : undefined,
      ),

    async byClient() {
      const byClient = new Map<string, SubscriptionInfo[]>();
      await gradually(directory.subscriptions(), (row) => {
        const rows = byClient.get(row.clientId);
        if (rows === undefined) byClient.set(row.clientId, [row]);
        else rows.push(row);
        return undefined;
      });
      return byClient;
    },

    async subscribe(clientId, filters, wantedQos) {
      const checkedQos = qos(wantedQos);
      const wanted = filters.map((raw) => ({ filter: topicFilter(raw), qos: checkedQos }));
      await directory.subscribeClient(clientId, wanted);
    },

    async unsubscribe(clientId, filters) {
      await directory.unsubscribeClient(clientId, filters.map(topicFilter));
    },

    rows: (clientId) =>
      clientId === undefined ? directory.subscriptions() : directory.subscriptionsOf(clientId),
    matcher,
    grant: (clientId, wanted) => directory.subscribeClient(clientId, wanted, { isGranted: true }),
    filters: () => directory.filters(),
    filtersAt: (raw) => directory.filtersAt(topicFilter(raw)),
  };
}

function matcher(filter: SubscriptionFilter): (row: SubscriptionInfo) => boolean {
  const { qos: wantedQos, filter: exact, within, group, isDurable } = filter;
  if (within !== undefined && parseShare(topicFilter(within)) !== null) {
    throw new GatewayError("MQTT_FILTER_INVALID", { value: within, reason: "it is shared" });
  }
  const asksName = exact !== undefined || within !== undefined || group !== undefined;
  return (row) => {
    if (wantedQos !== undefined && row.qos !== wantedQos) return false;
    if (isDurable !== undefined && row.isDurable !== isDurable) return false;
    if (!asksName) return true;
    const share = parseShare(row.filter);
    const name = share?.filter ?? row.filter;
    return (
      (exact === undefined || name === exact) &&
      (group === undefined || share?.group === group) &&
      (within === undefined || matches(within, name))
    );
  };
}
