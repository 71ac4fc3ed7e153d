export type { Ban, BanKind, NewBan } from "./ban.ts";
export type { Bans, BansDeps, BanTable } from "./bans.ts";
export { createBans } from "./bans.ts";
