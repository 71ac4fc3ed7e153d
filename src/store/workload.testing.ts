import { createHash } from "node:crypto";
import {
  type QueueEntry,
  SESSION_NEVER_EXPIRES,
  type SessionRecord,
  type StoredMessage,
  type StoredSubscription,
  topic,
  topicFilter,
} from "../mqtt/index.ts";
import type { Store } from "./store.ts";

/** A small generator of random numbers that a seed makes repeatable (mulberry32). */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Topic of the retained message that says how far a run has come. */
export const COUNTER = "counter";

/** The record table a run writes to. */
export const TABLE_NAME = "test_records";

/** One operation on a store, or on the model of one. */
export type Operation =
  | { readonly kind: "put"; readonly client: string; readonly version: number }
  | {
      readonly kind: "subscribe";
      readonly client: string;
      readonly filter: string;
      readonly version: number;
    }
  | { readonly kind: "unsubscribe"; readonly client: string; readonly filter: string }
  | {
      readonly kind: "inbound";
      readonly client: string;
      readonly packetId: number;
      readonly isPut: boolean;
    }
  | {
      readonly kind: "enqueue";
      readonly clients: readonly string[];
      readonly version: number;
      readonly bytes: number;
    }
  | { readonly kind: "release"; readonly client: string; readonly seq: number }
  | { readonly kind: "dequeue"; readonly client: string; readonly seq: number }
  | { readonly kind: "delete"; readonly client: string }
  | {
      readonly kind: "retain";
      readonly topic: string;
      readonly version: number;
      readonly bytes: number;
    }
  | { readonly kind: "clear"; readonly topic: string }
  | { readonly kind: "record"; readonly key: string; readonly version: number }
  | { readonly kind: "forget"; readonly key: string };

export function messageFor(
  version: number,
  bytes: number,
  name = `t/${version % 7}`,
): StoredMessage {
  return {
    topic: topic(name),
    payload: Buffer.alloc(bytes, `${version}.`),
    qos: 1,
    retain: version % 2 === 0,
    origin: {
      kind: "client",
      clientId: `p${version % 5}`,
      username: version % 3 === 0 ? "u" : null,
    },
    publishedMs: version,
    expiresAtMs: version % 4 === 0 ? version * 1000 : null,
    ...(version % 6 === 0
      ? { properties: { contentType: "text", userProperties: [["n", String(version)] as const] } }
      : undefined),
  };
}

export function recordFor(version: number): SessionRecord {
  return {
    protocolVersion: 5,
    username: version % 2 === 0 ? null : `user-${version}`,
    cleanStart: version % 3 === 0,
    keepAliveS: version % 65_536,
    expiryIntervalS: SESSION_NEVER_EXPIRES,
    expiresAtMs: version % 5 === 0 ? version : null,
    seqLimit: 1_000_000 + version,
    will: version % 7 === 0 ? { message: messageFor(version, 10), delayS: 5, dueAtMs: null } : null,
    listener: "tcp",
    peerAddress: "127.0.0.1",
    peerPort: 1883,
    sinceMs: version,
    createdMs: version + 1,
    connectedMs: version + 2,
    isBridge: version % 4 === 0,
  };
}

export function subscriptionFor(filter: string, version: number): StoredSubscription {
  return {
    filter: topicFilter(filter),
    qos: version % 3 === 0 ? 0 : version % 3 === 1 ? 1 : 2,
    noLocal: version % 2 === 0,
    retainAsPublished: version % 5 === 0,
    retainHandling: 1,
    subscriptionId: version % 4 === 0 ? version + 1 : null,
  };
}

interface ModelSession {
  record: number;
  readonly subscriptions: Map<string, number>;
  readonly inbound: Set<number>;
  /** By sequence; null = released. */
  readonly queue: Map<number, { version: number; bytes: number } | null>;
  nextSeq: number;
}

/** A plain store in memory: what the real one must look like. */
export class Model {
  readonly sessions = new Map<string, ModelSession>();
  readonly retained = new Map<string, { version: number; bytes: number }>();
  /** Versions of the records in the table TABLE_NAME, by key. */
  readonly records = new Map<string, number>();

  apply(operation: Operation): void {
    switch (operation.kind) {
      case "put":
        this.#session(operation.client).record = operation.version;
        break;
      case "subscribe":
        this.#session(operation.client).subscriptions.set(operation.filter, operation.version);
        break;
      case "unsubscribe":
        this.#session(operation.client).subscriptions.delete(operation.filter);
        break;
      case "inbound":
        if (operation.isPut) this.#session(operation.client).inbound.add(operation.packetId);
        else this.#session(operation.client).inbound.delete(operation.packetId);
        break;
      case "enqueue":
        for (const client of operation.clients) {
          const session = this.#session(client);
          const { version, bytes } = operation;
          session.queue.set(session.nextSeq++, { version, bytes });
        }
        break;
      case "release":
        this.#session(operation.client).queue.set(operation.seq, null);
        break;
      case "dequeue":
        this.#session(operation.client).queue.delete(operation.seq);
        break;
      case "delete":
        this.sessions.delete(operation.client);
        break;
      case "retain":
        this.retained.set(operation.topic, operation);
        break;
      case "clear":
        this.retained.delete(operation.topic);
        break;
      case "record":
        this.records.set(operation.key, operation.version);
        break;
      case "forget":
        this.records.delete(operation.key);
        break;
    }
  }

  #session(client: string): ModelSession {
    let session = this.sessions.get(client);
    if (session === undefined) {
      session = {
        record: 0,
        subscriptions: new Map(),
        inbound: new Set(),
        queue: new Map(),
        nextSeq: 0,
      };
      this.sessions.set(client, session);
    }
    return session;
  }

  /** A comparable picture of everything. */
  picture(): Picture {
    return {
      sessions: [...this.sessions].sort(byName).map(([clientId, session]) => ({
        clientId,
        record: recordFor(session.record),
        subscriptions: [...session.subscriptions]
          .sort(byName)
          .map(([filter, version]) => subscriptionFor(filter, version)),
        inbound: [...session.inbound].sort((a, b) => a - b),
        queue: this.queuePicture(clientId),
      })),
      retained: [...this.retained]
        .sort(byName)
        .map(([name, { version, bytes }]) => describeMessage(messageFor(version, bytes, name))),
      records: [...this.records].sort(byName).map(([key, version]) => `${key} ${version}`),
    };
  }

  queuePicture(clientId: string): string[] {
    const queue = this.sessions.get(clientId)?.queue ?? new Map();
    return [...queue]
      .sort(([a], [b]) => a - b)
      .map(([seq, entry]) =>
        describeEntry(
          entry === null ? { seq, message: null } : entryFor(seq, entry.version, entry.bytes),
        ),
      );
  }

  /** The next operation of a random run; `version` makes its content unlike any other's. */
  next(random: (below: number) => number, version: number): Operation {
    const clients = ["a", "b", "c", "d/é", "e".repeat(40)];
    const client = clients[random(clients.length)] ?? "a";
    const session = this.sessions.get(client);
    if (session === undefined) return { kind: "put", client, version };
    const filter = `f/${random(4)}/#`;
    const seqs = [...session.queue.keys()];
    const seq = seqs[random(2) === 0 ? 0 : random(Math.max(1, seqs.length))];
    const name = `r/${random(5)}`;
    const key = `k${random(5)}`;
    const dice = random(100);
    if (dice < 4) return { kind: "put", client, version };
    if (dice < 10) return { kind: "subscribe", client, filter, version };
    if (dice < 13) return { kind: "unsubscribe", client, filter };
    if (dice < 20) {
      return { kind: "inbound", client, packetId: 1 + random(6), isPut: random(2) === 0 };
    }
    if (dice < 28) {
      const bytes = random(10) === 0 ? 5000 : random(200);
      return { kind: "retain", topic: name, version, bytes };
    }
    if (dice < 31) return { kind: "clear", topic: name };
    if (dice < 33) return { kind: "delete", client };
    if (dice < 37) return { kind: "record", key, version };
    if (dice < 39) return { kind: "forget", key };
    if (dice < 60 && seq !== undefined) return { kind: "dequeue", client, seq };
    if (dice < 70 && seq !== undefined) return { kind: "release", client, seq };
    const targets = random(4) === 0 ? [...this.sessions.keys()] : [client];
    const bytes = random(12) === 0 ? 4096 + random(4000) : random(300);
    return { kind: "enqueue", clients: targets, version, bytes };
  }
}

/** Does to a store what `Model.apply` does to a model. `nextSeq` counts each session's sequences. */
export function applyTo(store: Store, model: Model, operation: Operation): void {
  switch (operation.kind) {
    case "put":
      store.session(operation.client).put(recordFor(operation.version));
      break;
    case "subscribe":
      store
        .session(operation.client)
        .putSubscription(subscriptionFor(operation.filter, operation.version));
      break;
    case "unsubscribe":
      store.session(operation.client).deleteSubscription(operation.filter);
      break;
    case "inbound":
      if (operation.isPut) store.session(operation.client).putInbound(operation.packetId);
      else store.session(operation.client).deleteInbound(operation.packetId);
      break;
    case "enqueue": {
      const { version, bytes } = operation;
      const message = messageFor(version, bytes);
      for (const client of operation.clients) {
        const seq = model.sessions.get(client)?.nextSeq ?? 0;
        store.session(client).enqueue({ ...entryFor(seq, version, bytes), message });
      }
      break;
    }
    case "release":
      store.session(operation.client).setReleased(operation.seq);
      break;
    case "dequeue":
      store.session(operation.client).dequeue(operation.seq);
      break;
    case "delete":
      store.session(operation.client).delete();
      break;
    case "retain":
      store.putRetained(messageFor(operation.version, operation.bytes, operation.topic));
      break;
    case "clear":
      store.deleteRetained(operation.topic);
      break;
    case "record":
      store.table(TABLE_NAME).put(operation.key, Buffer.from(String(operation.version)));
      break;
    case "forget":
      store.table(TABLE_NAME).delete(operation.key);
      break;
  }
}

export function entryFor(seq: number, version: number, bytes: number) {
  return {
    seq,
    message: messageFor(version, bytes),
    qos: version % 2 === 0 ? (2 as const) : (1 as const),
    retain: version % 3 === 0,
    subscriptionIds: version % 5 === 0 ? [1, version] : [],
  };
}

export interface Picture {
  readonly sessions: readonly {
    readonly clientId: string;
    readonly record: SessionRecord;
    readonly subscriptions: readonly StoredSubscription[];
    readonly inbound: readonly number[];
    readonly queue: readonly string[];
  }[];
  readonly retained: readonly string[];
  readonly records: readonly string[];
}

/** What a freshly started store holds. */
export async function pictureOf(store: Store): Promise<Picture> {
  const sessions: Picture["sessions"][number][] = [];
  for await (const batch of store.sessions()) {
    for (const { store: session, record, subscriptions, inbound } of batch) {
      sessions.push({
        clientId: session.clientId,
        record,
        subscriptions: [...subscriptions].sort((a, b) => (a.filter < b.filter ? -1 : 1)),
        inbound: [...inbound].sort((a, b) => a - b),
        queue: (await session.readQueue(0, 1_000_000, 1e12)).map(describeEntry),
      });
    }
  }
  const retained: string[] = [];
  for await (const batch of store.retained()) {
    for (const { topic: name, message } of batch) {
      const whole = message ?? (await store.getRetained(name));
      if (whole !== null) retained.push(describeMessage(whole));
    }
  }
  sessions.sort((a, b) => (a.clientId < b.clientId ? -1 : 1));
  return { sessions, retained, records: await recordsOf(store) };
}

/** The records of the table TABLE_NAME, one text for each. */
export async function recordsOf(store: Store): Promise<string[]> {
  const records: string[] = [];
  for await (const slice of store.table(TABLE_NAME).entries()) {
    for (const [key, value] of slice) records.push(`${key} ${value}`);
  }
  return records;
}

export function describeEntry(entry: QueueEntry): string {
  if (entry.message === null) return `${entry.seq} released`;
  const { seq, message, qos, retain, subscriptionIds } = entry;
  return `${seq} ${qos} ${retain} [${subscriptionIds.join()}] ${describeMessage(message)}`;
}

function describeMessage(message: StoredMessage): string {
  const { payload, ...rest } = message;
  const digest = createHash("sha1").update(payload).digest("hex").slice(0, 12);
  return `${JSON.stringify(rest)} ${payload.length} ${digest}`;
}

function byName([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
