import type { ConfigDraft } from "../../../services/index.ts";

/** What a set-config request changes, collected member by member. */
export class Change {
  /** Members of the bridge named `default`, by canonical name. */
  readonly bridge: Record<string, unknown> = {};
  readonly pems: { key?: string; cert?: string; ca?: string } = {};
  readonly #patch: Record<string, unknown> = {};

  /** Sets one canonical key, written with dots. */
  set(key: string, value: unknown): void {
    const names = key.split(".");
    const last = names.pop() ?? key;
    let node = this.#patch;
    for (const name of names) {
      const next = node[name];
      const child: Record<string, unknown> = isNode(next) ? next : {};
      node[name] = child;
      node = child;
    }
    node[last] = value;
  }

  draft(): ConfigDraft {
    return { patch: this.#patch, pems: this.pems };
  }
}

function isNode(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
