import type { QoS, QueuedMessage, ReleasedMessage, StoredMessage } from "../mqtt/index.ts";
import { type ByteReader, type ByteWriter, MalformedRecord } from "./bytes.ts";
import { qosOf, readMessage, writeMessage } from "./message-codec.ts";
import { openValue } from "./value.ts";

/** Bits of an entry's first byte, above its QoS. */
const RETAIN = 0x04;
const SUBSCRIPTION_IDS = 0x08;
const EXTENSION = 0x10;
const KIND_SHIFT = 6;

/** How an entry holds its message: in itself, in a body of its own, or no longer. */
const KIND = { inline: 0, body: 1, released: 2 } as const;

/**
 * Writes a queue entry that holds its message, or names the body it stands in.
 *
 *     flags(1) size(varint) [ids] [extension] ( message | body(6) )
 *
 * `size` is the entry's share in the queue summary, so that the scan at the start needs no body.
 */
export function writeEntry(
  out: ByteWriter,
  entry: QueuedMessage,
  size: number,
  body: number | null,
): void {
  const { subscriptionIds, extension } = entry;
  out.u8(
    entry.qos |
      (entry.retain ? RETAIN : 0) |
      (subscriptionIds.length > 0 ? SUBSCRIPTION_IDS : 0) |
      (extension !== undefined ? EXTENSION : 0) |
      ((body === null ? KIND.inline : KIND.body) << KIND_SHIFT),
  );
  out.varint(size);
  if (subscriptionIds.length > 0) {
    out.varint(subscriptionIds.length);
    for (const id of subscriptionIds) out.varint(id);
  }
  if (extension !== undefined) out.bytes(extension);
  if (body === null) writeMessage(out, entry.message);
  else out.u48(body);
}

/** Writes an entry whose message is no longer needed. */
export function writeReleased(out: ByteWriter, entry: ReleasedMessage): void {
  out.u8((KIND.released << KIND_SHIFT) | (entry.extension === undefined ? 0 : EXTENSION));
  out.varint(0);
  if (entry.extension !== undefined) out.bytes(entry.extension);
}

/** What the start needs to know of an entry. */
export interface EntrySummary {
  readonly bytes: number;
  /** 0 = none. */
  readonly body: number;
}

/** Reads the beginning of an entry. */
export function readEntrySummary(key: Buffer, value: Buffer): EntrySummary {
  const from = openValue(key, value);
  const flags = from.u8();
  const bytes = from.varint();
  if (flags >> KIND_SHIFT !== KIND.body) return { bytes, body: 0 };
  readIds(from, flags);
  if ((flags & EXTENSION) !== 0) from.bytes();
  return { bytes, body: from.u48() };
}

/** An entry as it stands on disk: complete, released, or with its message in a body. */
export type StoredEntry =
  | { readonly kind: "complete"; readonly entry: QueuedMessage }
  | { readonly kind: "released"; readonly entry: ReleasedMessage }
  | {
      readonly kind: "body";
      readonly seq: number;
      readonly body: number;
      with(message: StoredMessage): QueuedMessage;
    };

export function readEntry(seq: number, key: Buffer, value: Buffer): StoredEntry {
  const from = openValue(key, value);
  const flags = from.u8();
  from.varint();
  const subscriptionIds = readIds(from, flags);
  const extension = (flags & EXTENSION) !== 0 ? from.bytes() : undefined;
  const qos = qosOf(flags);
  const retain = (flags & RETAIN) !== 0;
  switch (flags >> KIND_SHIFT) {
    case KIND.inline: {
      const message = readMessage(from);
      return {
        kind: "complete",
        entry: queued(seq, message, qos, retain, subscriptionIds, extension),
      };
    }
    case KIND.body:
      return {
        kind: "body",
        seq,
        body: from.u48(),
        with: (message) => queued(seq, message, qos, retain, subscriptionIds, extension),
      };
    case KIND.released: {
      const entry: ReleasedMessage =
        extension === undefined ? { seq, message: null } : { seq, message: null, extension };
      return { kind: "released", entry };
    }
    default:
      throw new MalformedRecord("unknown kind of entry");
  }
}

const NO_IDS: readonly number[] = [];

function readIds(from: ByteReader, flags: number): readonly number[] {
  if ((flags & SUBSCRIPTION_IDS) === 0) return NO_IDS;
  const count = from.varint();
  const ids: number[] = [];
  for (let i = 0; i < count; i++) ids.push(from.varint());
  return ids;
}

function queued(
  seq: number,
  message: StoredMessage,
  qos: QoS,
  retain: boolean,
  subscriptionIds: readonly number[],
  extension: Buffer | undefined,
): QueuedMessage {
  if (extension === undefined) return { seq, message, qos, retain, subscriptionIds };
  return { seq, message, qos, retain, subscriptionIds, extension };
}
