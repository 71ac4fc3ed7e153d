/** Readings that belong to an alarm, by name; the name carries the unit. */
export type AlarmDetails = Readonly<Record<string, number | string>>;

/** One alarm, active or over. */
export interface Alarm {
  readonly name: string;
  /** One sentence for a person. */
  readonly message: string;
  readonly details: AlarmDetails;
  /** Wall clock, ms since 1970; as it stood then, also when it had not been set yet. */
  readonly activatedAtMs: number;
  /** Wall clock, ms since 1970; null while the alarm is active. */
  readonly deactivatedAtMs: number | null;
  /** How long it lasted or has lasted, by a clock that does not jump. */
  readonly durationMs: number;
}

/** An alarm as it is kept: with its times on the clock that does not jump. */
export interface AlarmEntry {
  readonly name: string;
  readonly message: string;
  readonly details: AlarmDetails;
  readonly activatedAtMs: number;
  readonly deactivatedAtMs: number | null;
  /** The same moments in gateway time, ms. */
  readonly fromMs: number;
  readonly toMs: number | null;
  /** Stays until somebody ends it, over restarts too. */
  readonly isLatched: boolean;
}

const MAX_NAME_CHARACTERS = 256;
const MAX_MESSAGE_CHARACTERS = 1024;
const MAX_DETAILS = 32;

/** Cut to bounds, because names of clients and texts of other machines may be in it. */
export function bounded(
  name: string,
  message: string,
  details: AlarmDetails,
): Pick<AlarmEntry, "name" | "message" | "details"> {
  const rows = Object.entries(details)
    .slice(0, MAX_DETAILS)
    .map(([key, value]) => [key, typeof value === "string" ? cut(value) : value] as const);
  return {
    name: cutName(name),
    message: message.slice(0, MAX_MESSAGE_CHARACTERS).toWellFormed(),
    details: Object.freeze(Object.fromEntries(rows)),
  };
}

/** The name an alarm is known by. */
export function cutName(name: string): string {
  return name.slice(0, MAX_NAME_CHARACTERS).toWellFormed();
}

/** The entry as the record table keeps it: JSON. */
export function writeEntry(entry: AlarmEntry): Buffer {
  return Buffer.from(JSON.stringify(entry));
}

/** An entry from its record; null for what is none. */
export function readEntry(record: Buffer): AlarmEntry | null {
  let value: unknown;
  try {
    value = JSON.parse(record.toString());
  } catch {
    return null;
  }
  if (!isObject(value)) return null;
  const { name, message, details, activatedAtMs, deactivatedAtMs, fromMs, toMs, isLatched } = value;
  if (typeof name !== "string" || typeof message !== "string" || !isObject(details)) return null;
  if (typeof activatedAtMs !== "number" || typeof fromMs !== "number") return null;
  if (typeof isLatched !== "boolean") return null;
  const ended =
    typeof deactivatedAtMs === "number" && typeof toMs === "number"
      ? { deactivatedAtMs, toMs }
      : { deactivatedAtMs: null, toMs: null };
  const readings = Object.entries(details).flatMap(([key, reading]) =>
    typeof reading === "number" || typeof reading === "string" ? [[key, reading] as const] : [],
  );
  return {
    ...bounded(name, message, Object.fromEntries(readings)),
    activatedAtMs,
    fromMs,
    isLatched,
    ...ended,
  };
}

function cut(value: string): string {
  return value.slice(0, MAX_NAME_CHARACTERS).toWellFormed();
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
