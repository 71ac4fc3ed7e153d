import {
  type QoS,
  qos,
  type SubscriptionInfo,
  type TopicFilter,
  topicFilter,
} from "../mqtt/index.ts";
import { gradually } from "./gradually.ts";

/** Where subscriptions are known and made: the broker. */
export interface SubscriptionDirectory {
  /** Those of offline persistent sessions included. */
  subscriptions(): Iterable<SubscriptionInfo>;
  /** @throws GatewayError CLIENT_NOT_FOUND */
  subscribeClient(
    clientId: string,
    wanted: readonly { readonly filter: TopicFilter; readonly qos: QoS }[],
  ): Promise<void>;
  /** @throws GatewayError CLIENT_NOT_FOUND */
  unsubscribeClient(clientId: string, filters: readonly TopicFilter[]): Promise<void>;
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
  };
}
