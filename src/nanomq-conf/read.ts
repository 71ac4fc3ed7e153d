import type { Source } from "./source.ts";

/** Reads one value of NanoMQ's; undefined where it is none of this kind. */
export type Read = (raw: unknown) => unknown;

/** Seconds in a unit; milliseconds are a thousandth. */
const SECONDS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 };
const BYTES: Readonly<Record<string, number>> = {
  b: 1,
  k: 1024,
  kb: 1024,
  m: 1_048_576,
  mb: 1_048_576,
  g: 1_073_741_824,
  gb: 1_073_741_824,
};

export const text: Read = (raw) =>
  typeof raw === "string" || typeof raw === "number" ? String(raw) : undefined;

export const flag: Read = (raw) => {
  if (typeof raw === "boolean") return raw;
  return typeof raw === "string" ? /^(true|yes)$/i.test(raw.trim()) : undefined;
};

export const whole: Read = (raw) => {
  const value = typeof raw === "string" && /^\s*-?\d+\s*$/.test(raw) ? Number(raw) : raw;
  return typeof value === "number" && Number.isInteger(value) ? value : undefined;
};

/** NanoMQ keeps its default for what is not above 0. */
export const positive: Read = (raw) => {
  const value = whole(raw);
  return typeof value === "number" && value > 0 ? value : undefined;
};

/** Seconds: a number, or one with a unit. */
export const seconds: Read = (raw) => {
  const match = /^\s*(\d+)\s*(ms|s|m|h|d)?\s*$/.exec(String(raw));
  return match === null ? undefined : Math.ceil(Number(match[1]) * (SECONDS[match[2] ?? "s"] ?? 1));
};

/** Bytes: a number of `unit` bytes, or one with a unit of its own. */
export function bytes(unit: number): Read {
  return (raw) => {
    const match = /^\s*(\d+)\s*([kmg]?b?)\s*$/i.exec(String(raw));
    if (match === null) return undefined;
    const word = (match[2] ?? "").toLowerCase();
    return Number(match[1]) * (word === "" ? unit : (BYTES[word] ?? 1));
  };
}

/** One of these words, perhaps under another name here. */
export function word(words: Readonly<Record<string, unknown>>): Read {
  return (raw) => {
    const name = String(raw).toLowerCase();
    return Object.hasOwn(words, name) ? words[name] : undefined;
  };
}

/** The value at the first of these keys; one that cannot be read is named, and left out. */
export function taken(source: Source, read: Read, ...keys: readonly string[]): unknown {
  const raw = source.take(...keys);
  if (raw === undefined || raw === null || raw === "") return undefined;
  const value = read(raw);
  const key = keys.find((each) => source.has(each)) ?? "";
  if (value === undefined) source.note(key, `${shown(key, raw)} is not understood, left out`);
  return value;
}

function shown(key: string, raw: unknown): string {
  return /passw|key_password|login/i.test(key) ? "its value" : JSON.stringify(raw);
}

/** A name as ours may be: letters, digits, _ and -. */
export function plainName(name: string): string {
  const plain = name.replace(/[^\w-]/g, "_").replace(/^[^A-Za-z0-9]+/, "");
  return plain.slice(0, 60) || "other";
}

/** A tree of the canonical configuration, filled key by key. */
export type Target = { [name: string]: unknown };

/** Sets a dotted canonical key, unless there is nothing to set. */
export function set(target: Target, key: string, value: unknown): void {
  if (value === undefined) return;
  const names = key.split(".");
  const last = names.pop() ?? key;
  let node = target;
  for (const name of names) {
    const next = node[name];
    const inner: Target = isTarget(next) ? next : {};
    node[name] = inner;
    node = inner;
  }
  node[last] = value;
}

function isTarget(value: unknown): value is Target {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
