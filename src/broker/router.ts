import {
  parseShare,
  type QoS,
  type StoredSubscription,
  type Topic,
  type TopicFilter,
} from "../mqtt/index.ts";
import { PlanCache } from "./plan-cache.ts";
import { type Member, ShareGroup } from "./share-group.ts";

/** How one receiver gets a message: its matching subscriptions taken together. */
export interface Receiver<T> {
  readonly target: T;
  /** The highest QoS of its subscriptions ([MQTT-3.3.4-2]). */
  readonly qos: QoS;
  readonly retainAsPublished: boolean;
  readonly subscriptionIds: readonly number[];
  /** Some subscription excludes the receiver's own messages. */
  readonly hasNoLocal: boolean;
  /** The same without those subscriptions; null when none is left. */
  readonly forOwn: Receiver<T> | null;
}

/** Everything that receives the messages of one topic. */
export interface Plan<T, H> {
  readonly topic: Topic;
  readonly topicBytes: Buffer;
  readonly receivers: readonly Receiver<T>[];
  readonly shares: readonly ShareGroup<T>[];
  readonly handlers: readonly H[];
  /** `Router.epoch` it is valid in. */
  epoch: number;
}

interface Bucket<T, H> {
  readonly members: Map<T, Member<T>>;
  readonly shares: Map<string, ShareGroup<T>>;
  readonly handlers: Set<H>;
}

interface Node<T, H> {
  readonly children: Map<string, Node<T, H>>;
  /** Subscriptions that end here, and those that go on with `#`. */
  here: Bucket<T, H> | null;
  rest: Bucket<T, H> | null;
}

const NO_IDS: readonly number[] = [];

/**
 * Finds who receives a topic: a tree of filters by level, and a bounded cache of what was found. A
 * change of a filter without wildcards forgets that topic's plan alone; any other outdates all.
 */
export class Router<T, H> {
  /** Changes whenever plans made before are no longer right. */
  epoch = 0;
  /** Distinct filters that clients subscribe to, shares left out of them. */
  filterCount = 0;
  readonly #root: Node<T, H> = newNode();
  readonly #cache = new PlanCache<Plan<T, H>>();

  /** Whether some filter names this first level: the only ones that match a topic with `$` in front. */
  hasFirstLevel(level: string): boolean {
    return this.#root.children.has(level);
  }

  /** The valid plan of a topic given as latin1 bytes, if there is one. */
  cached(key: string): Plan<T, H> | undefined {
    const plan = this.#cache.get(key);
    return plan !== undefined && plan.epoch === this.epoch ? plan : undefined;
  }

  /** The plan of a valid topic; `key` is its UTF-8 read as latin1. */
  plan(topic: Topic, key: string = keyOf(topic)): Plan<T, H> {
    const known = this.cached(key);
    if (known !== undefined) return known;
    const found: Bucket<T, H>[] = [];
    collect(this.#root, topic.split("/"), 0, found);
    const plan: Plan<T, H> = {
      topic,
      topicBytes: Buffer.from(topic),
      receivers: mergeReceivers(found),
      shares: found.flatMap((bucket) => [...bucket.shares.values()]),
      handlers: found.flatMap((bucket) => [...bucket.handlers]),
      epoch: this.epoch,
    };
    this.#cache.set(key, plan);
    return plan;
  }

  /** Adds or replaces `target`'s subscription. */
  subscribe(target: T, subscription: StoredSubscription): void {
    const share = parseShare(subscription.filter);
    const bucket = this.#bucket(share?.filter ?? subscription.filter);
    if (bucket.members.size + bucket.shares.size === 0) this.filterCount++;
    const member = { target, subscription };
    if (share === null) {
      bucket.members.set(target, member);
    } else {
      let group = bucket.shares.get(share.group);
      if (group === undefined) {
        group = new ShareGroup<T>(share.group);
        bucket.shares.set(share.group, group);
      }
      group.put(member);
    }
    this.#outdate(share?.filter ?? subscription.filter);
  }

  unsubscribe(target: T, filter: TopicFilter): void {
    const share = parseShare(filter);
    const plain = share?.filter ?? filter;
    this.#prune(plain, (bucket) => {
      const before = bucket.members.size + bucket.shares.size;
      if (share === null) {
        bucket.members.delete(target);
      } else {
        const group = bucket.shares.get(share.group);
        group?.remove(target);
        if (group?.size === 0) bucket.shares.delete(share.group);
      }
      if (before > 0 && bucket.members.size + bucket.shares.size === 0) this.filterCount--;
    });
    this.#outdate(plain);
  }

  addHandler(filter: TopicFilter, handler: H): void {
    this.#bucket(filter).handlers.add(handler);
    this.#outdate(filter);
  }

  removeHandler(filter: TopicFilter, handler: H): void {
    this.#prune(filter, (bucket) => bucket.handlers.delete(handler));
    this.#outdate(filter);
  }

  /** What is subscribed to, each filter once; a share is a filter of its own. Handlers are left out. */
  filters(): Generator<TopicFilter> {
    return filtersBelow(this.#root, "", true);
  }

  /** This filter as far as it is subscribed to: itself, and in each share; or in the share it names. */
  filtersAt(filter: TopicFilter): readonly TopicFilter[] {
    const share = parseShare(filter);
    let node: Node<T, H> | undefined = this.#root;
    const plain = share?.filter ?? filter;
    for (const level of plain.split("/")) {
      if (level === "#") break;
      node = node?.children.get(level);
    }
    const isRest = plain === "#" || plain.endsWith("/#");
    const found = filtersOf(isRest ? (node?.rest ?? null) : (node?.here ?? null), plain);
    return share === null ? found : found.filter((one) => one === filter);
  }

  #outdate(filter: string): void {
    if (filter.includes("+") || filter.includes("#")) {
      this.epoch++;
      return;
    }
    const key = keyOf(filter);
    const plan = this.#cache.get(key);
    if (plan !== undefined) plan.epoch = -1;
  }

  #bucket(filter: string): Bucket<T, H> {
    let node = this.#root;
    const levels = filter.split("/");
    for (const level of levels) {
      if (level === "#") {
        node.rest ??= newBucket();
        return node.rest;
      }
      let child = node.children.get(level);
      if (child === undefined) {
        child = newNode();
        node.children.set(level, child);
      }
      node = child;
    }
    node.here ??= newBucket();
    return node.here;
  }

  /** Changes the bucket of `filter` and removes what is empty afterwards. */
  #prune(filter: string, change: (bucket: Bucket<T, H>) => void): void {
    const path: [Node<T, H>, string][] = [];
    let node = this.#root;
    for (const level of filter.split("/")) {
      if (level === "#") break;
      const child = node.children.get(level);
      if (child === undefined) return;
      path.push([node, level]);
      node = child;
    }
    const isRest = filter === "#" || filter.endsWith("/#");
    const bucket = isRest ? node.rest : node.here;
    if (bucket === null) return;
    change(bucket);
    if (bucket.members.size + bucket.shares.size + bucket.handlers.size > 0) return;
    if (isRest) node.rest = null;
    else node.here = null;
    for (let i = path.length - 1; i >= 0; i--) {
      const step = path[i];
      if (step === undefined || !isEmpty(step[0].children.get(step[1]))) return;
      step[0].children.delete(step[1]);
    }
  }
}

/** The cache key of a topic: its UTF-8 bytes as latin1, which is what the wire gives at no cost. */
function keyOf(topic: string): string {
  return Buffer.from(topic).toString("latin1");
}

function newNode<T, H>(): Node<T, H> {
  return { children: new Map(), here: null, rest: null };
}

function newBucket<T, H>(): Bucket<T, H> {
  return { members: new Map(), shares: new Map(), handlers: new Set() };
}

function isEmpty<T, H>(node: Node<T, H> | undefined): boolean {
  return node !== undefined && node.children.size === 0 && node.here === null && node.rest === null;
}

function* filtersBelow<T, H>(
  node: Node<T, H>,
  path: string,
  isRoot = false,
): Generator<TopicFilter> {
  if (node.here !== null) yield* filtersOf(node.here, path);
  const prefix = isRoot ? "" : `${path}/`;
  if (node.rest !== null) yield* filtersOf(node.rest, `${prefix}#`);
  for (const [level, child] of node.children) yield* filtersBelow(child, prefix + level);
}

function filtersOf<T, H>(bucket: Bucket<T, H> | null, plain: string): TopicFilter[] {
  const found: TopicFilter[] = [];
  if (bucket === null) return found;
  if (bucket.members.size > 0) found.push(plain as TopicFilter);
  for (const group of bucket.shares.keys()) found.push(`$share/${group}/${plain}` as TopicFilter);
  return found;
}

/** MQTT 5.0 §4.7.1; depth is bounded by the topic's levels. */
function collect<T, H>(
  node: Node<T, H>,
  levels: readonly string[],
  depth: number,
  found: Bucket<T, H>[],
): void {
  // [MQTT-4.7.2-1]: a wildcard does not match a first level that starts with $.
  const isHidden = depth === 0 && levels[0]?.startsWith("$") === true;
  if (node.rest !== null && !isHidden) found.push(node.rest);
  const level = levels[depth];
  if (level === undefined) {
    if (node.here !== null) found.push(node.here);
    return;
  }
  const exact = node.children.get(level);
  if (exact !== undefined) collect(exact, levels, depth + 1, found);
  if (isHidden) return;
  const plus = node.children.get("+");
  if (plus !== undefined) collect(plus, levels, depth + 1, found);
}

function mergeReceivers<T, H>(found: readonly Bucket<T, H>[]): Receiver<T>[] {
  const only = found.length === 1 ? found[0] : undefined;
  if (only !== undefined) {
    return [...only.members.values()].map((member) => merge([member])).filter((r) => r !== null);
  }
  const byTarget = new Map<T, Member<T>[]>();
  for (const bucket of found) {
    for (const member of bucket.members.values()) {
      const list = byTarget.get(member.target);
      if (list === undefined) byTarget.set(member.target, [member]);
      else list.push(member);
    }
  }
  return [...byTarget.values()].map(merge).filter((r) => r !== null);
}

function merge<T>(members: readonly Member<T>[]): Receiver<T> | null {
  const first = members[0];
  if (first === undefined) return null;
  const ids = members
    .map((member) => member.subscription.subscriptionId)
    .filter((id) => id !== null);
  const remote = members.filter((member) => !member.subscription.noLocal);
  const hasNoLocal = remote.length < members.length;
  return {
    target: first.target,
    qos: members.reduce<QoS>(
      (most, { subscription }) => (subscription.qos > most ? subscription.qos : most),
      0,
    ),
    retainAsPublished: members.some((member) => member.subscription.retainAsPublished),
    subscriptionIds: ids.length === 0 ? NO_IDS : ids,
    hasNoLocal,
    forOwn: hasNoLocal ? merge(remote) : null,
  };
}
