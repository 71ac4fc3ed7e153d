import type { StoredSubscription } from "../../mqtt/index.ts";

interface Level {
  readonly next: Map<string, Level>;
  /** By client id. */
  readonly here: Map<string, StoredSubscription>;
}

/** Who subscribes to what: a trie over the levels of the filters. `#` and `+` come before names. */
export class FilterIndex {
  readonly #root: Level = newLevel();

  add(clientId: string, subscription: StoredSubscription): void {
    let level = this.#root;
    for (const name of subscription.filter.split("/")) {
      let next = level.next.get(name);
      if (next === undefined) {
        next = newLevel();
        level.next.set(name, next);
      }
      level = next;
    }
    level.here.set(clientId, subscription);
  }

  remove(clientId: string, filter: string): void {
    const path: { level: Level; name: string }[] = [];
    let level = this.#root;
    for (const name of filter.split("/")) {
      const next = level.next.get(name);
      if (next === undefined) return;
      path.push({ level, name });
      level = next;
    }
    level.here.delete(clientId);
    for (const step of path.reverse()) {
      const child = step.level.next.get(step.name);
      if (child === undefined || child.here.size > 0 || child.next.size > 0) return;
      step.level.next.delete(step.name);
    }
  }

  /** The subscriptions whose filter matches `topic`; `$`-topics only by filters that name them ([MQTT-4.7.2-1]). */
  match(topic: string): { clientId: string; subscription: StoredSubscription }[] {
    const names = topic.split("/");
    const found: { clientId: string; subscription: StoredSubscription }[] = [];
    const take = (level: Level | undefined) => {
      for (const [clientId, subscription] of level?.here ?? [])
        found.push({ clientId, subscription });
    };
    let levels = [this.#root];
    for (const [depth, name] of names.entries()) {
      const isHidden = depth === 0 && name.startsWith("$");
      const next: Level[] = [];
      for (const level of levels) {
        if (!isHidden) take(level.next.get("#"));
        for (const child of [isHidden ? undefined : level.next.get("+"), level.next.get(name)]) {
          if (child !== undefined) next.push(child);
        }
      }
      levels = next;
    }
    for (const level of levels) {
      take(level.next.get("#"));
      take(level);
    }
    return found;
  }

  /** The clients with exactly this filter. */
  clients(filter: string): string[] {
    let level: Level | undefined = this.#root;
    for (const name of filter.split("/")) level = level?.next.get(name);
    return [...(level?.here.keys() ?? [])];
  }
}

function newLevel(): Level {
  return { next: new Map(), here: new Map() };
}
