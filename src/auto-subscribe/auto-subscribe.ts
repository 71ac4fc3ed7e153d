import type { Log } from "../log/index.ts";
import { type QoS, type TopicFilter, topicFilter } from "../mqtt/index.ts";

/** One subscription every client gets, as it is configured. */
export interface AutoSubscriptionRow {
  /** A filter; `${clientid}`, `${username}`, `${host}` and `${port}` are the client's. */
  readonly topic: string;
  readonly qos: QoS;
  /** Retain Handling, Retain As Published, No Local (MQTT 5.0 §3.8.3.1). */
  readonly rh: 0 | 1 | 2;
  readonly rap: 0 | 1;
  readonly nl: 0 | 1;
}

/** What one client is subscribed to. */
export interface AutoSubscription {
  readonly filter: TopicFilter;
  readonly qos: QoS;
  readonly retainHandling: 0 | 1 | 2;
  readonly retainAsPublished: boolean;
  readonly noLocal: boolean;
}

export interface AutoSubscribeClient {
  readonly clientId: string;
  readonly username: string | null;
  readonly address: string;
  readonly tcpPort: number;
}

/** Which subscriptions clients get without asking. */
export interface AutoSubscribe {
  readonly isActive: boolean;
  /**
   * A row is left out for a client without the value it needs, or with one that holds `+`, `#` or
   * `/`: no name gives a client more than its level.
   */
  subscriptionsOf(client: AutoSubscribeClient): readonly AutoSubscription[];
  /** For clients that connect from now on. */
  configure(rows: readonly AutoSubscriptionRow[]): void;
}

const PLACEHOLDER = /\$\{(clientid|username|host|port)\}/g;

export function createAutoSubscribe(
  deps: { readonly log: Log },
  configured: readonly AutoSubscriptionRow[],
): AutoSubscribe {
  const log = deps.log.child({ part: "auto-subscribe" });
  let rows = configured;
  return {
    get isActive() {
      return rows.length > 0;
    },
    subscriptionsOf(client) {
      return rows.flatMap((row): AutoSubscription[] => {
        const filter = filterFor(row.topic, client);
        if (filter === null) {
          log.debug({ clientId: client.clientId, filter: row.topic }, "not subscribed");
          return [];
        }
        return [
          {
            filter,
            qos: row.qos,
            retainHandling: row.rh,
            retainAsPublished: row.rap === 1,
            noLocal: row.nl === 1,
          },
        ];
      });
    },
    configure(next) {
      rows = next;
      log.info({ count: next.length }, "automatic subscriptions changed");
    },
  };
}

function filterFor(text: string, client: AutoSubscribeClient): TopicFilter | null {
  let isUsable = true;
  const filled = text.replace(PLACEHOLDER, (_, name: string) => {
    const value = placeholderValue(name, client);
    if (value === "" || /[+#/]/.test(value)) isUsable = false;
    return value;
  });
  return isUsable ? parsed(filled) : null;
}

function placeholderValue(name: string, client: AutoSubscribeClient): string {
  if (name === "clientid") return client.clientId;
  if (name === "username") return client.username ?? "";
  return name === "host" ? client.address : String(client.tcpPort);
}

function parsed(text: string): TopicFilter | null {
  try {
    return topicFilter(text);
  } catch {
    return null;
  }
}
