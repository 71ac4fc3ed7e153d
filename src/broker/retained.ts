import type { EngineStore, LoadedRetained, StoredMessage } from "../mqtt/index.ts";
import type { Deadline, Deadlines } from "./deadlines.ts";

/** Payloads over this stay in the store alone. */
const IN_MEMORY_BYTES = 4096;

/** One topic's retained message. */
export interface Retained {
  readonly topic: string;
  /** Null for a large one: the store has it. */
  readonly message: StoredMessage | null;
  readonly expiry: Deadline | null;
}

/** One level of the retained topics. */
export interface RetainedNode {
  readonly children: Map<string, RetainedNode>;
  value: Retained | null;
}

/** All retained messages (MQTT 5.0 §3.3.1.3) by topic: small ones in memory, all of them in the store. */
export class RetainedIndex {
  readonly root: RetainedNode = { children: new Map(), value: null };
  readonly #byTopic = new Map<string, RetainedNode>();
  readonly #store: EngineStore;
  readonly #deadlines: Deadlines;

  constructor(store: EngineStore, deadlines: Deadlines) {
    this.#store = store;
    this.#deadlines = deadlines;
  }

  get size(): number {
    return this.#byTopic.size;
  }

  /** Takes what the store had at the start. */
  load({ topic, message, expiresAtMs }: LoadedRetained): void {
    this.#place(topic, message, expiresAtMs);
  }

  /** Keeps `message` in place of an older one; always a change. */
  put(message: StoredMessage): true {
    const isSmall = message.payload.length <= IN_MEMORY_BYTES;
    this.#place(message.topic, isSmall ? message : null, message.expiresAtMs);
    this.#store.putRetained(message);
    return true;
  }

  /** False when there was nothing to remove. */
  remove(topic: string): boolean {
    const node = this.#byTopic.get(topic);
    if (node === undefined) return false;
    node.value?.expiry?.cancel();
    node.value = null;
    this.#byTopic.delete(topic);
    this.#prune(topic);
    this.#store.deleteRetained(topic);
    return true;
  }

  /** In order of their first message. */
  topics(): Iterable<string> {
    return this.#byTopic.keys();
  }

  matching(filter: string): Iterable<Retained | null> {
    return walkRetained(this, filter);
  }

  get(topic: string): Retained | null {
    return this.#byTopic.get(topic)?.value ?? null;
  }

  /** The message itself, read from the store where it is large; null when it is gone. */
  fetch(retained: Retained): StoredMessage | Promise<StoredMessage | null> {
    return retained.message ?? this.#store.getRetained(retained.topic);
  }

  #place(topic: string, message: StoredMessage | null, expiresAtMs: number | null): void {
    let node = this.#byTopic.get(topic);
    if (node === undefined) {
      node = this.root;
      for (const level of topic.split("/")) {
        let child: RetainedNode | undefined = node.children.get(level);
        if (child === undefined) {
          child = { children: new Map(), value: null };
          node.children.set(level, child);
        }
        node = child;
      }
      this.#byTopic.set(topic, node);
    }
    node.value?.expiry?.cancel();
    const expiry =
      expiresAtMs === null
        ? null
        : this.#deadlines.at(expiresAtMs, () => {
            if (this.remove(topic)) this.#store.schedule(false);
          });
    node.value = { topic, message, expiry };
  }

  #prune(topic: string): void {
    const path: [RetainedNode, string][] = [];
    let node = this.root;
    for (const level of topic.split("/")) {
      const child = node.children.get(level);
      if (child === undefined) return;
      path.push([node, level]);
      node = child;
    }
    for (let i = path.length - 1; i >= 0; i--) {
      const step = path[i];
      const child = step?.[0].children.get(step[1]);
      if (step === undefined || child === undefined) return;
      if (child.value !== null || child.children.size > 0) return;
      step[0].children.delete(step[1]);
    }
  }
}

/**
 * The retained messages that match a filter, one `next` at a time: between two of them the index
 * may change. A topic that is added behind the walk is left out, which its live message makes up for.
 */
export function* walkRetained(index: RetainedIndex, filter: string): Generator<Retained | null> {
  if (!filter.includes("+") && !filter.includes("#")) {
    yield index.get(filter);
    return;
  }
  yield* walk(index.root, filter.split("/"), 0);
}

function* walk(
  node: RetainedNode,
  levels: readonly string[],
  depth: number,
): Generator<Retained | null> {
  const level = levels[depth];
  if (level === undefined) {
    yield node.value;
    return;
  }
  if (level === "#") {
    yield* subtree(node, depth === 0);
    return;
  }
  if (level !== "+") {
    const child = node.children.get(level);
    if (child !== undefined) yield* walk(child, levels, depth + 1);
    return;
  }
  for (const [name, child] of node.children) {
    yield null;
    if (depth === 0 && name.startsWith("$")) continue;
    yield* walk(child, levels, depth + 1);
  }
}

function* subtree(node: RetainedNode, isRoot: boolean): Generator<Retained | null> {
  yield node.value;
  for (const [name, child] of node.children) {
    if (isRoot && name.startsWith("$")) continue;
    yield* subtree(child, false);
  }
}
