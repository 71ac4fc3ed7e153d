import type { LinearRegex } from "../regex/index.ts";
import { addressBytes, blockKey } from "./address.ts";
import type { Ban } from "./ban.ts";

/** A ban with what finding it needs. */
export type IndexedBan =
  | { readonly ban: Ban; readonly kind: "clientid" | "username"; readonly value: string }
  | { readonly ban: Ban; readonly kind: "clientid_re" | "username_re"; readonly regex: LinearRegex }
  | {
      readonly ban: Ban;
      readonly kind: "block";
      readonly bytes: Uint8Array;
      readonly prefix: number;
    };

/** Who wants in. */
export interface Candidate {
  readonly clientId: string;
  readonly username: string | null;
  readonly address: string;
}

/**
 * Finds the bans that fit a client: by one look-up for client id, user name and each prefix length
 * in use (address bans have the full one), one after the other only for regular expressions.
 */
export class BanIndex {
  readonly #clientIds = new Map<string, Ban>();
  readonly #usernames = new Map<string, Ban>();
  readonly #clientIdRegexes = new Map<Ban, LinearRegex>();
  readonly #usernameRegexes = new Map<Ban, LinearRegex>();
  /** By bits, family (32 or 128) included, then by block; one block may be banned twice. */
  readonly #blocks = new Map<number, Map<string, Set<Ban>>>();

  get regexCount(): number {
    return this.#clientIdRegexes.size + this.#usernameRegexes.size;
  }

  add(entry: IndexedBan): void {
    switch (entry.kind) {
      case "clientid":
        this.#clientIds.set(entry.value, entry.ban);
        return;
      case "username":
        this.#usernames.set(entry.value, entry.ban);
        return;
      case "clientid_re":
        this.#clientIdRegexes.set(entry.ban, entry.regex);
        return;
      case "username_re":
        this.#usernameRegexes.set(entry.ban, entry.regex);
        return;
      case "block": {
        const size = sizeOf(entry.bytes, entry.prefix);
        const blocks = this.#blocks.get(size) ?? new Map<string, Set<Ban>>();
        this.#blocks.set(size, blocks);
        const key = blockKey(entry.bytes, entry.prefix);
        const bans = blocks.get(key) ?? new Set<Ban>();
        blocks.set(key, bans.add(entry.ban));
      }
    }
  }

  remove(entry: IndexedBan): void {
    switch (entry.kind) {
      case "clientid":
        this.#clientIds.delete(entry.value);
        return;
      case "username":
        this.#usernames.delete(entry.value);
        return;
      case "clientid_re":
        this.#clientIdRegexes.delete(entry.ban);
        return;
      case "username_re":
        this.#usernameRegexes.delete(entry.ban);
        return;
      case "block":
        this.#removeBlock(entry.bytes, entry.prefix, entry.ban);
    }
  }

  /** Whether a ban that `counts` fits. */
  has({ clientId, username, address }: Candidate, counts: (ban: Ban) => boolean): boolean {
    const isOn = (ban: Ban | undefined) => ban !== undefined && counts(ban);
    if (isOn(this.#clientIds.get(clientId))) return true;
    for (const [ban, regex] of this.#clientIdRegexes) {
      if (counts(ban) && regex.test(clientId)) return true;
    }
    if (username !== null) {
      if (isOn(this.#usernames.get(username))) return true;
      for (const [ban, regex] of this.#usernameRegexes) {
        if (counts(ban) && regex.test(username)) return true;
      }
    }
    return this.#blocks.size > 0 && this.#hasBlock(address, counts);
  }

  #hasBlock(address: string, counts: (ban: Ban) => boolean): boolean {
    const bytes = addressBytes(address);
    if (bytes === null) return false;
    for (const [size, blocks] of this.#blocks) {
      const prefix = size & 0xff;
      if (sizeOf(bytes, prefix) !== size) continue;
      for (const ban of blocks.get(blockKey(bytes, prefix)) ?? []) if (counts(ban)) return true;
    }
    return false;
  }

  #removeBlock(bytes: Uint8Array, prefix: number, ban: Ban): void {
    const size = sizeOf(bytes, prefix);
    const blocks = this.#blocks.get(size);
    const key = blockKey(bytes, prefix);
    const bans = blocks?.get(key);
    bans?.delete(ban);
    if (bans?.size === 0) blocks?.delete(key);
    if (blocks?.size === 0) this.#blocks.delete(size);
  }
}

/** Family and prefix length in one number. */
function sizeOf(bytes: Uint8Array, prefix: number): number {
  return (bytes.length << 8) | prefix;
}
