import type { QoS } from "../mqtt/index.ts";

/** A subscription as the persistence contract passes it; `topic` is the filter as subscribed. */
export interface StoredSubscription {
  readonly topic: string;
  readonly qos: QoS;
}

/** A stored subscription and the session it belongs to. */
export interface ClientSubscription extends StoredSubscription {
  readonly clientId: string;
}

interface Node {
  readonly children: Map<string, Node>;
  readonly subscriptions: Map<string, ClientSubscription>;
}

/**
 * The stored subscriptions in memory, by session and by filter. It replaces the index of
 * aedes-persistence-level, which looks a filter up as if it were a topic: there a subscription to
 * `a/b` silently takes the session's subscription to `a/#` out of the index.
 */
export class SubscriptionIndex {
  readonly #sessions = new Map<string, Map<string, ClientSubscription>>();
  readonly #root: Node = createNode();

  set(clientId: string, subscription: StoredSubscription): void {
    const entry = { ...subscription, clientId };
    const filters = this.#sessions.get(clientId) ?? new Map<string, ClientSubscription>();
    this.#sessions.set(clientId, filters.set(entry.topic, entry));
    let node = this.#root;
    for (const level of entry.topic.split("/")) {
      const child = node.children.get(level) ?? createNode();
      node.children.set(level, child);
      node = child;
    }
    node.subscriptions.set(clientId, entry);
  }

  delete(clientId: string, filter: string): void {
    const filters = this.#sessions.get(clientId);
    if (filters?.delete(filter) !== true) return;
    if (filters.size === 0) this.#sessions.delete(clientId);
    prune(this.#root, filter.split("/"), 0, clientId);
  }

  of(clientId: string): ClientSubscription[] {
    return [...(this.#sessions.get(clientId)?.values() ?? [])];
  }

  /** Subscriptions with QoS ≥ 1 that match `topic` (MQTT 5.0 §4.7.2 for topics that start with $). */
  match(topic: string): ClientSubscription[] {
    const found: ClientSubscription[] = [];
    collect(this.#root, topic.split("/"), 0, found);
    const isSystem = topic.startsWith("$");
    return found.filter(({ topic: filter, qos }) => qos > 0 && !(isSystem && /^[+#]/.test(filter)));
  }
}

function createNode(): Node {
  return { children: new Map(), subscriptions: new Map() };
}

function collect(
  node: Node,
  levels: readonly string[],
  depth: number,
  found: ClientSubscription[],
) {
  const rest = node.children.get("#");
  if (rest !== undefined) found.push(...rest.subscriptions.values());
  const level = levels[depth];
  if (level === undefined) {
    found.push(...node.subscriptions.values());
    return;
  }
  const exact = node.children.get(level);
  if (exact !== undefined) collect(exact, levels, depth + 1, found);
  const any = node.children.get("+");
  if (any !== undefined) collect(any, levels, depth + 1, found);
}

/** Removes the client at the end of the path and the nodes left empty on the way back. */
function prune(node: Node, levels: readonly string[], depth: number, clientId: string): void {
  const level = levels[depth];
  if (level === undefined) {
    node.subscriptions.delete(clientId);
    return;
  }
  const child = node.children.get(level);
  if (child === undefined) return;
  prune(child, levels, depth + 1, clientId);
  if (child.children.size === 0 && child.subscriptions.size === 0) node.children.delete(level);
}
