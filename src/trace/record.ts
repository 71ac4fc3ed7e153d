import type { TraceSpec } from "./trace.ts";

/** What is kept of a trace over a restart, as JSON under its name. */
export interface TraceRecord {
  readonly spec: TraceSpec;
  /** Name of its file in the folder of traces. */
  readonly file: string;
  readonly isStopped: boolean;
}

const FILE = /^[0-9a-f]{16}\.log$/;

export function writeRecord(record: TraceRecord): Buffer {
  return Buffer.from(JSON.stringify(record));
}

/** Null for what no gateway has written. */
export function readRecord(value: Buffer): TraceRecord | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value.toString());
  } catch {
    return null;
  }
  return isRecord(parsed) ? parsed : null;
}

function isRecord(value: unknown): value is TraceRecord {
  if (typeof value !== "object" || value === null) return false;
  const { spec, file, isStopped } = value as Partial<Record<keyof TraceRecord, unknown>>;
  if (typeof file !== "string" || !FILE.test(file) || typeof isStopped !== "boolean") return false;
  if (typeof spec !== "object" || spec === null) return false;
  const is = spec as Partial<Record<keyof TraceSpec, unknown>>;
  return (
    typeof is.name === "string" &&
    (is.kind === "clientid" || is.kind === "topic" || is.kind === "ip_address") &&
    typeof is.value === "string" &&
    typeof is.startAtMs === "number" &&
    typeof is.endAtMs === "number" &&
    (is.formatter === "text" || is.formatter === "json") &&
    (is.payloadEncode === "text" || is.payloadEncode === "hex" || is.payloadEncode === "hidden") &&
    typeof is.payloadLimit === "number"
  );
}
