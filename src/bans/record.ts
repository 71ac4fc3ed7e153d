import { BAN_KINDS, type Ban, type BanKind } from "./ban.ts";

/** A ban as it is kept: JSON. */
export function writeBan(ban: Ban): Buffer {
  return Buffer.from(JSON.stringify(ban));
}

/** Null for what `writeBan` has not written. */
export function readBan(value: Buffer): Ban | null {
  let raw: unknown;
  try {
    raw = JSON.parse(value.toString());
  } catch {
    return null;
  }
  if (typeof raw !== "object" || raw === null) return null;
  const { as, who, by, reason, atMs, untilMs } = raw as Record<string, unknown>;
  const kind = BAN_KINDS.find((known): known is BanKind => known === as);
  if (kind === undefined || typeof who !== "string") return null;
  if (typeof by !== "string" || typeof reason !== "string" || typeof atMs !== "number") return null;
  if (untilMs !== null && typeof untilMs !== "number") return null;
  return { as: kind, who, by, reason, atMs, untilMs };
}
