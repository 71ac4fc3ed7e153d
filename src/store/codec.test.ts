import fc from "fast-check";
import { expect, test } from "vitest";
import type {
  QueuedMessage,
  SessionRecord,
  StoredMessage,
  StoredSubscription,
} from "../mqtt/index.ts";
import { readMsgpack } from "./aedes/msgpack.ts";
import { ByteReader, ByteWriter, MAX_UINT48, MalformedRecord } from "./bytes.ts";
import { readEntry, readEntrySummary, writeEntry, writeReleased } from "./entry-codec.ts";
import {
  queueKey,
  seqOfKey,
  sessionOfKey,
  sessionRange,
  TABLE,
  writeSubscriptionKey,
} from "./keys.ts";
import { entrySize, readMessage, sizeOf, writeMessage } from "./message-codec.ts";
import { readSession, readSubscription, writeSession, writeSubscription } from "./record-codec.ts";
import { beginValue, endValue, openValue } from "./value.ts";

const text = fc.string({ unit: "grapheme", maxLength: 60 });
/** MQTT's strings hold no U+0000. */
const mqttText = text.filter((value) => !value.includes("\0"));
const bytes = fc.uint8Array({ maxLength: 300 }).map((value) => Buffer.from(value));
const uint48 = fc.oneof(fc.nat(), fc.integer({ min: 0, max: MAX_UINT48 }));
const qos = fc.constantFrom(0 as const, 1 as const, 2 as const);
const optional = { requiredKeys: [] };

const properties = fc.record(
  {
    payloadFormatIndicator: fc.boolean(),
    messageExpiryInterval: fc.integer({ min: 0, max: 0xffff_ffff }),
    contentType: text,
    responseTopic: text,
    correlationData: bytes,
    userProperties: fc.array(fc.tuple(text, text), { maxLength: 5 }),
  },
  optional,
);

const origin = fc.oneof(
  fc.record({
    kind: fc.constant("client" as const),
    clientId: text,
    username: fc.option(text),
  }),
  fc.record({ kind: fc.constant("bridge" as const), bridge: text }),
  fc.record({ kind: fc.constant("api" as const), clientId: mqttText }),
  fc.record({ kind: fc.constant("api" as const), clientId: mqttText, serial: mqttText }),
  fc.constant({ kind: "system" as const }),
);

const message: fc.Arbitrary<StoredMessage> = fc.record(
  {
    topic: text.map((value) => value as StoredMessage["topic"]),
    payload: bytes,
    qos,
    retain: fc.boolean(),
    properties,
    origin,
    publishedMs: uint48,
    expiresAtMs: fc.option(uint48),
    extension: bytes,
  },
  { requiredKeys: ["topic", "payload", "qos", "retain", "origin", "publishedMs", "expiresAtMs"] },
);

const entry: fc.Arbitrary<QueuedMessage> = fc.record(
  {
    seq: uint48,
    message,
    qos,
    retain: fc.boolean(),
    subscriptionIds: fc.array(fc.integer({ min: 1, max: 268_435_455 }), { maxLength: 4 }),
    extension: bytes,
  },
  { requiredKeys: ["seq", "message", "qos", "retain", "subscriptionIds"] },
);

const session: fc.Arbitrary<SessionRecord> = fc.record({
  protocolVersion: fc.constantFrom(3 as const, 4 as const, 5 as const),
  username: fc.option(text),
  cleanStart: fc.boolean(),
  keepAliveS: fc.integer({ min: 0, max: 65_535 }),
  expiryIntervalS: fc.integer({ min: 0, max: 0xffff_ffff }),
  expiresAtMs: fc.option(uint48),
  seqLimit: uint48,
  will: fc.option(
    fc.record({
      message,
      delayS: fc.integer({ min: 0, max: 0xffff_ffff }),
      dueAtMs: fc.option(uint48),
    }),
  ),
  listener: text,
  peerAddress: text,
  peerPort: fc.integer({ min: 0, max: 65_535 }),
  sinceMs: uint48,
  createdMs: uint48,
  connectedMs: uint48,
  isBridge: fc.boolean(),
});

const subscription: fc.Arbitrary<StoredSubscription> = fc.record({
  filter: text.map((value) => value as StoredSubscription["filter"]),
  qos,
  noLocal: fc.boolean(),
  retainAsPublished: fc.boolean(),
  retainHandling: fc.constantFrom(0 as const, 1 as const, 2 as const),
  subscriptionId: fc.option(fc.integer({ min: 1, max: 268_435_455 })),
});

const grantedSubscription = fc
  .tuple(subscription, fc.boolean())
  .map(([row, isGranted]) => (isGranted ? { ...row, isGranted: true as const } : row));

function encoded(write: (out: ByteWriter) => void): Buffer {
  const out = new ByteWriter();
  write(out);
  return Buffer.from(out.slice(0, out.length));
}

function valueFor(key: Buffer, write: (out: ByteWriter) => void): Buffer {
  return encoded((out) => {
    out.rawBytes(key);
    beginValue(out);
    write(out);
    endValue(out, 0);
  }).subarray(key.length);
}

test("a message is read as it was written", () => {
  fc.assert(
    fc.property(message, (original) => {
      const record = encoded((out) => writeMessage(out, original));
      expect(readMessage(new ByteReader(record))).toEqual(original);
    }),
  );
});

test("an entry is read as it was written, with its message inside or in a body", () => {
  fc.assert(
    fc.property(entry, fc.option(uint48), (original, body) => {
      const key = queueKey(7, original.seq);
      const value = valueFor(key, (out) => writeEntry(out, original, entrySize(original), body));
      const stored = readEntry(original.seq, key, value);
      expect(readEntrySummary(key, value)).toEqual({
        bytes: sizeOf(original.message),
        body: body ?? 0,
      });
      if (stored.kind === "body") expect(stored.body).toBe(body);
      expect(stored.kind === "body" ? stored.with(original.message) : stored.entry).toEqual(
        original,
      );
    }),
  );
});

test("a released entry is read as it was written", () => {
  fc.assert(
    fc.property(uint48, fc.option(bytes, { nil: undefined }), (seq, extension) => {
      const original = { seq, message: null, ...(extension === undefined ? {} : { extension }) };
      const key = queueKey(1, seq);
      const stored = readEntry(
        seq,
        key,
        valueFor(key, (out) => writeReleased(out, original)),
      );
      expect(stored).toEqual({ kind: "released", entry: original });
    }),
  );
});

test("a session's record and a subscription are read as they were written", () => {
  fc.assert(
    fc.property(text, session, grantedSubscription, (clientId, record, options) => {
      const stored = encoded((out) => writeSession(out, clientId, record));
      expect(readSession(new ByteReader(stored))).toEqual({ clientId, record });
      const row = encoded((out) => writeSubscription(out, options));
      expect(readSubscription(new ByteReader(row), options.filter)).toEqual(options);
    }),
  );
});

test("any flipped bit, shortened value or other key is noticed", () => {
  fc.assert(
    fc.property(entry, fc.nat(), fc.integer({ min: 0, max: 7 }), (original, at, bit) => {
      const key = queueKey(3, original.seq);
      const value = valueFor(key, (out) => writeEntry(out, original, 1, null));
      const flipped = Buffer.from(value);
      const byte = at % value.length;
      flipped[byte] = (flipped[byte] ?? 0) ^ (1 << bit);
      expect(() => openValue(key, flipped)).toThrow(MalformedRecord);
      expect(() => openValue(key, value.subarray(0, byte))).toThrow(MalformedRecord);
      expect(() => openValue(queueKey(4, original.seq), value)).toThrow(MalformedRecord);
    }),
  );
});

test("any bytes end in a record or in MalformedRecord", () => {
  const readers = [
    (record: Buffer) => readMessage(new ByteReader(record)),
    (record: Buffer) => readSession(new ByteReader(record)),
    (record: Buffer) => readSubscription(new ByteReader(record), "f"),
    (record: Buffer) => readMsgpack(record),
    (record: Buffer) =>
      readEntry(
        1,
        queueKey(1, 1),
        valueFor(queueKey(1, 1), (out) => out.rawBytes(record)),
      ),
  ];
  fc.assert(
    fc.property(bytes, (record) => {
      for (const read of readers) {
        try {
          read(record);
        } catch (err) {
          expect(err).toBeInstanceOf(MalformedRecord);
        }
      }
    }),
    { numRuns: 2000 },
  );
});

test("numbers of every size are read as they were written", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      expect(new ByteReader(encoded((out) => out.varint(value))).varint()).toBe(value);
    }),
  );
});

test("keys sort by session and then by sequence, and give both back", () => {
  fc.assert(
    fc.property(uint48, uint48, uint48, uint48, (s1, q1, s2, q2) => {
      const first = queueKey(s1, q1);
      const second = queueKey(s2, q2);
      expect(Math.sign(first.compare(second))).toBe(Math.sign(s1 - s2 || q1 - q2));
      expect([sessionOfKey(first), seqOfKey(first)]).toEqual([s1, q1]);
    }),
  );
});

test("a session's range holds its own rows and no other's, whatever the filters are", () => {
  fc.assert(
    fc.property(uint48, uint48, text, (mine, other, filter) => {
      const { gte, lt } = sessionRange(TABLE.subscription, mine);
      const key = encoded((out) => writeSubscriptionKey(out, other, filter));
      const isInside = gte.compare(key) <= 0 && key.compare(lt) < 0;
      expect(isInside).toBe(mine === other);
    }),
  );
});
