import type { Message, MessageProperties } from "../mqtt/index.ts";
import { isQoS, topic } from "../mqtt/index.ts";

/** A message that waits for its time. */
export interface DelayedRecord {
  readonly message: Message;
  /** Wall clock at arrival, ms. */
  readonly publishedMs: number;
  /** What was asked for, s. */
  readonly delayS: number;
  /** Gateway time at which it is published, ms. */
  readonly dueMs: number;
}

/** `headBytes(4, big endian) head payload`; the head is JSON, correlation data in it base64. */
export function writeRecord({ message, ...times }: DelayedRecord): Buffer {
  const { payload, properties, topic: name, qos, retain, origin } = message;
  const { correlationData, ...texts } = properties ?? {};
  const head = Buffer.from(
    JSON.stringify({
      ...times,
      topic: name,
      qos,
      retain,
      origin,
      ...(properties === undefined ? {} : { properties: texts }),
      ...(correlationData === undefined ? {} : { correlation: correlationData.toString("base64") }),
    }),
  );
  const size = Buffer.alloc(4);
  size.writeUInt32BE(head.length);
  return Buffer.concat([size, head, payload]);
}

/** Null for what `writeRecord` has not written. */
export function readRecord(value: Buffer): DelayedRecord | null {
  try {
    const headBytes = value.readUInt32BE(0);
    const raw: unknown = JSON.parse(value.toString("utf8", 4, 4 + headBytes));
    return isHead(raw) ? recordOf(raw, value.subarray(4 + headBytes)) : null;
  } catch {
    return null;
  }
}

interface Head {
  readonly publishedMs: number;
  readonly delayS: number;
  readonly dueMs: number;
  readonly topic: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly origin: Message["origin"];
  readonly properties?: MessageProperties;
  readonly correlation?: string;
}

function isHead(raw: unknown): raw is Head {
  if (typeof raw !== "object" || raw === null) return false;
  const head = raw as Record<string, unknown>;
  return (
    [head["publishedMs"], head["delayS"], head["dueMs"]].every(Number.isFinite) &&
    typeof head["topic"] === "string" &&
    typeof head["retain"] === "boolean" &&
    typeof head["origin"] === "object"
  );
}

function recordOf(head: Head, payload: Buffer): DelayedRecord | null {
  const { publishedMs, delayS, dueMs, qos, retain, origin, properties, correlation } = head;
  if (!isQoS(qos)) return null;
  const all: MessageProperties = {
    ...properties,
    ...(correlation === undefined ? {} : { correlationData: Buffer.from(correlation, "base64") }),
  };
  const message: Message = {
    topic: topic(head.topic),
    // A copy: the record's buffer may hold many others.
    payload: Buffer.from(payload),
    qos,
    retain,
    ...(Object.keys(all).length === 0 ? {} : { properties: all }),
    origin,
  };
  return { message, publishedMs, delayS, dueMs };
}
