import { ApiError } from "./answer.ts";

/** Year 9999, the last that RFC 3339 can write. */
const MAX_MS = 253_402_300_799_999;

/** `2024-01-01T12:34:56.789+08:00`, in the offset of this machine (reference §1.3). */
export function timestampMs(ms: number): string {
  const bounded = Math.min(Math.max(Math.trunc(ms), 0), MAX_MS);
  const offset = -new Date(bounded).getTimezoneOffset();
  const local = new Date(Math.max(0, bounded + offset * 60_000)).toISOString();
  const sign = offset < 0 ? "-" : "+";
  const minutes = Math.abs(offset);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${local.slice(0, -1)}${sign}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

/** `2024-01-01T12:34:56+08:00`: the second that `ms` lies in. */
export function timestampS(ms: number): string {
  const full = timestampMs(ms);
  return full.slice(0, 19) + full.slice(23);
}

const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;

/**
 * A point in time from a query or body: RFC 3339, or an epoch number (digits in a query) whose unit is
 * `unit`.
 * @returns milliseconds since 1970, whatever `unit` is
 * @throws ApiError 400 BAD_REQUEST
 */
export function parseTime(value: string | number, unit: "ms" | "s"): number {
  const epoch = typeof value === "number" ? value : /^\d{1,15}$/.test(value) ? Number(value) : null;
  const ms =
    epoch !== null
      ? epoch * (unit === "s" ? 1_000 : 1)
      : RFC_3339.test(String(value))
        ? Date.parse(String(value))
        : Number.NaN;
  if (Number.isFinite(ms) && ms >= 0 && ms <= MAX_MS) return ms;
  throw bad(value, `an RFC 3339 time with offset, or an epoch in ${unit}`);
}

const DURATION_UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
] as const;

/**
 * `"15s"`, `"2h"`, `"1h30m"`, `"500ms"`, `"1d"`; a number is milliseconds.
 * @throws ApiError 400 BAD_REQUEST
 */
export function parseDuration(value: string | number): number {
  const parts =
    typeof value === "string" ? /^(?:\d{1,12}(?:ms|[dhms]))+$/i.exec(value.trim()) : null;
  let ms = typeof value === "number" ? value : parts === null ? Number.NaN : 0;
  if (parts !== null) {
    for (const [, count, unit] of parts[0].matchAll(/(\d+)(ms|[dhms])/gi)) {
      const factor = DURATION_UNITS.find(([name]) => name === unit?.toLowerCase())?.[1] ?? 0;
      ms += Number(count) * factor;
    }
  }
  if (Number.isSafeInteger(ms) && ms >= 0) return ms;
  throw bad(value, 'a duration such as "15s", "2h" or "500ms"');
}

/** The shortest text that `parseDuration` reads as `ms`, in one unit. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  const [unit, factor] = DURATION_UNITS.find(([, size]) => ms % size === 0) ?? ["ms", 1];
  return `${ms / factor}${unit}`;
}

const SIZE_UNITS = [
  ["GB", 1_073_741_824],
  ["MB", 1_048_576],
  ["KB", 1_024],
  ["B", 1],
] as const;

/**
 * `"1MB"`, `"64KB"`, in steps of 1024; a number is bytes.
 * @throws ApiError 400 BAD_REQUEST
 */
export function parseSize(value: string | number): number {
  const parts = typeof value === "string" ? /^(\d{1,12})(GB|MB|KB|B|)$/i.exec(value.trim()) : null;
  const unit = parts?.[2]?.toUpperCase();
  const factor = SIZE_UNITS.find(([name]) => name === unit)?.[1] ?? 1;
  const bytes = typeof value === "number" ? value : Number(parts?.[1]) * factor;
  if (Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
  throw bad(value, 'a size such as "1MB" or "64KB"');
}

/** The shortest text that `parseSize` reads as `bytes`, in one unit. */
export function formatSize(bytes: number): string {
  if (bytes === 0) return "0B";
  const [unit, factor] = SIZE_UNITS.find(([, size]) => bytes % size === 0) ?? ["B", 1];
  return `${bytes / factor}${unit}`;
}

function bad(value: string | number, expected: string): ApiError {
  const shown = String(value).slice(0, 100).toWellFormed();
  return new ApiError(400, "BAD_REQUEST", `${JSON.stringify(shown)} is not ${expected}`);
}
