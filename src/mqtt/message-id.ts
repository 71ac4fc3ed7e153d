import { createHash } from "node:crypto";
import type { StoredMessage } from "./stored-message.ts";

const ID_DIGITS = 32;
const TIME_DIGITS = 12;

/**
 * The name of a message in APIs: 32 upper-case hexadecimal digits, the time it was published first,
 * so that ids rise with time. It is made from the message, the same one each time, and takes no room
 * in the store: messages alike in topic, sender and payload, of the same millisecond, share it, but
 * for those published through an API, which carry a serial number of their own.
 */
export function messageId(message: Omit<StoredMessage, "qos" | "retain" | "expiresAtMs">): string {
  const { topic, payload, origin, publishedMs } = message;
  const time = Math.max(0, Math.floor(publishedMs)).toString(16).padStart(TIME_DIGITS, "0");
  const serial = origin.kind === "api" ? origin.serial : undefined;
  const tail =
    serial ??
    createHash("sha256")
      .update(`${topic}\0${JSON.stringify(origin)}\0`)
      .update(payload)
      .digest("hex")
      .slice(0, ID_DIGITS - TIME_DIGITS);
  return (time + tail).toUpperCase();
}

/** Serial numbers for the messages of one API, 20 hexadecimal digits each; `seed` is any 32 bits. */
export function serialNumbers(seed: number): () => string {
  const head = (seed >>> 0).toString(16).padStart(8, "0");
  let count = 0;
  return () => head + (++count).toString(16).padStart(12, "0");
}
