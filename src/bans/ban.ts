export const BAN_KINDS = [
  "clientid",
  "username",
  "peerhost",
  "clientid_re",
  "username_re",
  "peerhost_net",
] as const;

/** What a ban names its clients by; `_re` are regular expressions (RE2), `peerhost_net` is CIDR. */
export type BanKind = (typeof BAN_KINDS)[number];

/** One ban; times are wall clock ms. */
export interface Ban {
  readonly as: BanKind;
  readonly who: string;
  /** Who banned, and why: text for people. */
  readonly by: string;
  readonly reason: string;
  readonly atMs: number;
  /** Null = for ever. */
  readonly untilMs: number | null;
}

export type NewBan = Omit<Ban, "atMs"> & { readonly atMs: number | null };
