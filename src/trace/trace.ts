import { matches, type TopicFilter } from "../mqtt/index.ts";

export type TraceKind = "clientid" | "topic" | "ip_address";

/** How lines look: text as EMQX writes them, or one JSON object each. */
export interface TraceFormat {
  readonly formatter: "text" | "json";
  readonly payloadEncode: "text" | "hex" | "hidden";
  /** Bytes of a payload that are shown. */
  readonly payloadLimit: number;
}

/** What is traced, and when. */
export interface TraceSpec extends TraceFormat {
  /** 1 to 256 letters, digits, `_` and `-`. */
  readonly name: string;
  readonly kind: TraceKind;
  /** A client id, a topic filter, or an address without port. */
  readonly value: string;
  /** Wall clock, ms. */
  readonly startAtMs: number;
  readonly endAtMs: number;
}

export interface TraceView {
  readonly spec: TraceSpec;
  readonly status: "waiting" | "running" | "stopped";
  readonly sizeBytes: number;
  /** Wall clock of the newest line, ms. */
  readonly changedAtMs: number;
}

/** Somebody or something a line is about. */
export interface Subject {
  readonly clientId: string | null;
  readonly address: string | null;
  readonly topic: string | null;
}

/** Whether a trace is about it. */
export function concerns({ kind, value }: TraceSpec, subject: Subject): boolean {
  if (kind === "clientid") return subject.clientId === value;
  if (kind === "ip_address") return subject.address === value;
  return subject.topic !== null && matches(value as TopicFilter, subject.topic);
}

/** One line, with its end. */
export function lineOf(
  { formatter }: TraceFormat,
  nowMs: number,
  tag: string,
  who: { readonly clientId: string | null; readonly peer: string | null },
  message: string,
  fields: Readonly<Record<string, string | number>>,
): string {
  const time = new Date(nowMs).toISOString();
  if (formatter === "json") {
    const { clientId, peer } = who;
    const meta = {
      ...(clientId === null ? {} : { clientid: clientId }),
      ...(peer === null ? {} : { peername: peer }),
      ...fields,
    };
    return `${JSON.stringify({ time, level: "debug", tag, msg: message, meta })}\n`;
  }
  const name = who.clientId === null ? "" : ` ${oneLine(who.clientId)}@${who.peer ?? ""}`;
  const more = Object.entries(fields).map(([key, value]) => `, ${key}: ${oneLine(String(value))}`);
  return `${time} [${tag}]${name} msg: ${message}${more.join("")}\n`;
}

/** A payload as a trace shows it. */
export function payloadText(format: TraceFormat, payload: Buffer): string {
  if (format.payloadEncode === "hidden") return "******";
  const shown = payload.subarray(0, format.payloadLimit);
  const text = shown.toString(format.payloadEncode === "hex" ? "hex" : "utf8");
  const rest = payload.length - shown.length;
  return rest === 0 ? text : `${text}... ${rest} bytes more`;
}

/** Control characters would let a client write lines of its own. */
function oneLine(text: string): string {
  return text.replace(
    /[\p{Cc}\u2028\u2029]/gu,
    (character) =>
      ESCAPES.get(character) ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);
