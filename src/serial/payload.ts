import type { SerialPortConfig } from "../config/index.ts";
import { Unsendable } from "./framing/index.ts";

export type PayloadForm = SerialPortConfig["payload"];

/** When a frame came, as its envelope tells it: `ts` is the wall clock, ms, with marks where it is not set yet. */
export type ReadingStamp = Readonly<Record<string, string | number | boolean | null>>;

/** The MQTT payload for a frame. */
export function payloadOf(
  form: PayloadForm,
  frame: Buffer,
  about: { port: string; seq: number; stamp: ReadingStamp },
): Buffer {
  switch (form) {
    case "raw":
      return frame;
    case "text":
      // Bytes that are no UTF-8 become U+FFFD: a text payload is text.
      return Buffer.from(frame.toString("utf8"));
    case "hex":
      return Buffer.from(frame.toString("hex"));
    case "base64":
      return Buffer.from(frame.toString("base64"));
    case "json": {
      const { port, seq, stamp } = about;
      return Buffer.from(JSON.stringify({ ...stamp, port, seq, data: frame.toString("base64") }));
    }
  }
}

/**
 * The bytes a payload stands for.
 * @throws Unsendable naming what is wrong
 */
export function bytesOf(form: PayloadForm, payload: Buffer): Buffer {
  switch (form) {
    case "raw":
    case "text":
      return payload;
    case "hex": {
      const text = payload.toString("latin1").trim();
      if (!/^([\da-f]{2})*$/i.test(text)) throw new Unsendable("it is not hexadecimal");
      return Buffer.from(text, "hex");
    }
    case "base64":
      return fromBase64(payload.toString("latin1").trim());
    case "json":
      return fromBase64(dataOf(payload));
  }
}

function dataOf(payload: Buffer): string {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString("utf8"));
  } catch {
    throw new Unsendable("it is not JSON");
  }
  const data = typeof value === "object" && value !== null && "data" in value ? value.data : null;
  if (typeof data !== "string") throw new Unsendable("data is not text");
  return data;
}

function fromBase64(text: string): Buffer {
  if (!/^[A-Za-z\d+/]*={0,2}$/.test(text) || text.length % 4 !== 0) {
    throw new Unsendable("it is not base64");
  }
  return Buffer.from(text, "base64");
}
