import type { FoundSession, StoreContent } from "./store-content.ts";

/** A moment on the clock of `process.hrtime`, nanoseconds; null = not yet. */
export type Moment = bigint | null;

/** What a publisher sent, and when the gateway took responsibility for it. */
export interface Sent {
  readonly id: string;
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /** A retained message without payload removes the one there is. */
  readonly isEmpty: boolean;
  readonly sentNs: bigint;
  /** PUBACK or PUBREC without an error came. */
  safeNs: Moment;
  /** PUBACK or PUBREC with an error came. */
  refusedNs: Moment;
  /** Its Packet Identifier. */
  readonly packetId: number;
  readonly publisher: string;
  /** For QoS 2: PUBREL was sent, PUBCOMP came. */
  releasedNs: Moment;
  completeNs: Moment;
}

/** What the bridge of the test forwards. */
export const FORWARDED = "t/#";

interface Subscribed {
  readonly filter: string;
  readonly askedNs: bigint;
  confirmedNs: Moment;
  endAskedNs: Moment;
  endConfirmedNs: Moment;
}

/** One session from its CONNACK to the CONNECT that replaces it. */
export class SessionLedger {
  readonly clientId: string;
  readonly begunNs: bigint;
  endAskedNs: Moment = null;
  endConfirmedNs: Moment = null;
  readonly subscriptions: Subscribed[] = [];
  /** Messages by id that came to the client, and when it was told to forget them (PUBREL). */
  readonly received = new Map<string, bigint>();
  readonly released = new Map<string, bigint>();

  constructor(clientId: string, begunNs: bigint) {
    this.clientId = clientId;
    this.begunNs = begunNs;
  }
}

/** A change of the configuration: several keys that always hold the same number. */
export interface ConfigChange {
  readonly value: number;
  readonly askedNs: bigint;
  confirmedNs: Moment;
}

/**
 * Everything clients did and were told, with times: from it follows what the gateway must still
 * know after a power cut at any moment, what it may know, and what it must not.
 */
export class Ledger {
  readonly sent: Sent[] = [];
  readonly sessions: SessionLedger[] = [];
  readonly configs: ConfigChange[] = [];
  #index = new Map<string, Sent>();

  /** What is wrong with a store found after a cut at `cutNs`; null = after everything. */
  judgeStore(content: StoreContent, cutNs: Moment): string[] {
    const faults: string[] = [];
    const byClient = new Map(content.sessions.map((session) => [session.clientId, session]));
    for (const session of this.sessions) {
      if (!isBefore(session.begunNs, cutNs)) continue;
      faults.push(...this.#judgeSession(session, byClient.get(session.clientId), cutNs));
    }
    faults.push(...this.#judgeInbound(byClient, cutNs), ...this.#judgeRetained(content, cutNs));
    return faults;
  }

  /** What is wrong with the numbers the configuration's keys have after a cut. */
  judgeConfig(values: readonly number[], initial: readonly number[], cutNs: Moment): string[] {
    const asked = this.configs.filter(({ askedNs }) => isBefore(askedNs, cutNs));
    const lastConfirmed = asked.findLast(({ confirmedNs }) => isBefore(confirmedNs, cutNs));
    const from = lastConfirmed === undefined ? -1 : asked.indexOf(lastConfirmed);
    const allowed = asked.slice(Math.max(0, from)).map(({ value }) => values.map(() => value));
    if (from < 0) allowed.push([...initial]);
    const isAllowed = allowed.some((each) => each.join() === values.join());
    return isAllowed ? [] : [`the configuration is ${values}, expected ${allowed.join(" or ")}`];
  }

  /** What is wrong with the outbox of a bridge whose cloud was never there: everything waits. */
  judgeOutbox({ outbox }: StoreContent, cutNs: Moment): string[] {
    const faults: string[] = [];
    const found = new Set<string>();
    const newest = new Map<string, bigint>();
    for (const { id, topic } of outbox) {
      const message = id === null ? undefined : this.#byId().get(id);
      if (id === null || message === undefined || message.topic !== topic) {
        faults.push(`the outbox has ${id} under ${topic}, which was never sent`);
        continue;
      }
      if (found.has(id)) faults.push(`the outbox has ${id} twice`);
      found.add(id);
      const line = `${message.publisher} ${topic}`;
      if ((newest.get(line) ?? -1n) > message.sentNs)
        faults.push(`${id} is out of order in the outbox`);
      newest.set(line, message.sentNs);
    }
    for (const { id, topic, qos, safeNs } of this.sent) {
      if (qos === 0 || !fits(FORWARDED, topic) || !isBefore(safeNs, cutNs) || found.has(id))
        continue;
      faults.push(`the outbox lost ${id} (QoS ${qos}), which was acknowledged`);
    }
    return faults;
  }

  /** Messages a session must still hold after a cut, in the order they were sent. */
  owedTo(session: SessionLedger, cutNs: Moment): Sent[] {
    if (isBefore(session.endAskedNs, cutNs)) return [];
    return this.sent.filter(
      ({ id, topic, qos, sentNs, safeNs, isEmpty }) =>
        qos > 0 &&
        !isEmpty &&
        isBefore(safeNs, cutNs) &&
        !isBefore(session.received.get(id) ?? null, cutNs) &&
        session.subscriptions.some(
          ({ filter, confirmedNs, endAskedNs }) =>
            fits(filter, topic) &&
            confirmedNs !== null &&
            confirmedNs < sentNs &&
            (endAskedNs === null || (safeNs !== null && endAskedNs > safeNs)),
        ),
    );
  }

  #byId(): ReadonlyMap<string, Sent> {
    if (this.#index.size !== this.sent.length) {
      this.#index = new Map(this.sent.map((message) => [message.id, message]));
    }
    return this.#index;
  }

  #judgeSession(session: SessionLedger, found: FoundSession | undefined, cutNs: Moment): string[] {
    const { clientId } = session;
    if (isBefore(session.endConfirmedNs, cutNs)) {
      // A later session of the same client may be there; nothing of this one is.
      const old = this.sent.filter(
        ({ sentNs }) => session.endAskedNs !== null && sentNs < session.endAskedNs,
      );
      const ids = new Set(old.map(({ id }) => id));
      const left = found?.queue.find(({ id }) => id !== null && ids.has(id));
      return left === undefined ? [] : [`${clientId} has ${left.id} of a session that ended`];
    }
    if (isBefore(session.endAskedNs, cutNs)) return [];
    if (found === undefined) return [`the session ${clientId} is lost`];
    return [
      ...judgeSubscriptions(session, found, cutNs),
      ...judgeQueue(found, this.#byId()),
      ...this.owedTo(session, cutNs)
        .filter(({ id }) => !found.queue.some((entry) => entry.id === id))
        .map(({ id, qos }) => `${clientId} lost ${id} (QoS ${qos}), which was acknowledged`),
      ...found.queue
        .filter(({ id }) => id !== null && isBefore(session.released.get(id) ?? null, cutNs))
        .map(({ id }) => `${clientId} has ${id} again, which was released`),
    ];
  }

  /** QoS 2 from a persistent session: its marker stands from PUBREC to PUBCOMP. */
  #judgeInbound(byClient: ReadonlyMap<string, FoundSession>, cutNs: Moment): string[] {
    const faults: string[] = [];
    /** The newest message of each packet id: older ones say nothing about its marker. */
    const newest = new Map<string, Sent>();
    const persistent = new Set(this.sessions.map(({ clientId }) => clientId));
    for (const message of this.sent) {
      const { publisher, packetId, qos, sentNs } = message;
      if (qos !== 2 || !persistent.has(publisher) || !isBefore(sentNs, cutNs)) continue;
      newest.set(`${publisher} ${packetId}`, message);
    }
    for (const { publisher, packetId, id, safeNs, releasedNs, completeNs } of newest.values()) {
      const isMarked = byClient.get(publisher)?.inbound.includes(packetId) ?? false;
      if (isBefore(safeNs, cutNs) && !isBefore(releasedNs, cutNs) && !isMarked) {
        faults.push(`${publisher}: the marker of ${id} (packet ${packetId}) is lost`);
      }
      if (isBefore(completeNs, cutNs) && isMarked) {
        faults.push(`${publisher}: the marker of ${id} (packet ${packetId}) is still there`);
      }
    }
    return faults;
  }

  #judgeRetained({ retained }: StoreContent, cutNs: Moment): string[] {
    const found = new Map(retained.map(({ topic, id }) => [topic, id]));
    const faults: string[] = [];
    const topics = new Set(this.sent.flatMap(({ retain, topic }) => (retain ? [topic] : [])));
    for (const topic of topics) {
      const versions = this.sent.filter((m) => m.retain && m.topic === topic);
      const safe = versions.findLastIndex(({ safeNs }) => isBefore(safeNs, cutNs));
      const allowed = versions
        .slice(Math.max(0, safe))
        .filter(({ sentNs }) => isBefore(sentNs, cutNs))
        .map(({ id, isEmpty }) => (isEmpty ? undefined : id));
      const isAbsentAllowed = safe < 0 || allowed.includes(undefined);
      const id = found.get(topic);
      const isAllowed = id === undefined ? isAbsentAllowed : id !== null && allowed.includes(id);
      if (!isAllowed) {
        faults.push(`retained ${topic} is ${id}, expected ${allowed.join(" or ")}`);
      }
    }
    for (const { topic, id } of retained) {
      // The gateway tells of its bridge there.
      if (topic.startsWith("$SYS/")) continue;
      if (!topics.has(topic)) faults.push(`retained ${topic} (${id}) comes from nowhere`);
    }
    return faults;
  }
}

function judgeSubscriptions(session: SessionLedger, found: FoundSession, cutNs: Moment): string[] {
  const faults: string[] = [];
  for (const filter of new Set(session.subscriptions.map((each) => each.filter))) {
    const last = session.subscriptions.findLast(
      (each) => each.filter === filter && isBefore(each.askedNs, cutNs),
    );
    if (last === undefined) continue;
    const isThere = found.filters.includes(filter);
    if (isBefore(last.confirmedNs, cutNs) && !isBefore(last.endAskedNs, cutNs) && !isThere) {
      faults.push(`${session.clientId} lost its subscription ${filter}`);
    }
    if (isBefore(last.endConfirmedNs, cutNs) && isThere) {
      faults.push(`${session.clientId} has the subscription ${filter} again`);
    }
  }
  return faults;
}

/** Whether a queue holds only what was sent, whole, once, and in order. */
function judgeQueue(found: FoundSession, sent: ReadonlyMap<string, Sent>): string[] {
  const { clientId, queue } = found;
  const faults: string[] = [];
  const seen = new Set<string>();
  const newest = new Map<string, bigint>();
  for (const { seq, id, topic, isReleased } of queue) {
    if (seq >= found.seqLimit) faults.push(`${clientId} has sequence ${seq}, its limit is lower`);
    if (isReleased) continue;
    const message = id === null ? undefined : sent.get(id);
    if (id === null || message === undefined || message.topic !== topic) {
      faults.push(`${clientId} has ${id} under ${topic}, which was never sent`);
      continue;
    }
    if (seen.has(id)) faults.push(`${clientId} has ${id} twice`);
    seen.add(id);
    const line = `${message.publisher} ${topic}`;
    if ((newest.get(line) ?? -1n) > message.sentNs)
      faults.push(`${clientId} has ${id} out of order`);
    newest.set(line, message.sentNs);
  }
  return faults;
}

function isBefore(moment: Moment, cutNs: Moment): boolean {
  return moment !== null && (cutNs === null || moment < cutNs);
}

/** Whether a filter of the kinds used here, exact or ending in `/#`, matches a topic. */
function fits(filter: string, topic: string): boolean {
  if (!filter.endsWith("/#")) return filter === topic;
  const level = filter.slice(0, -2);
  return topic === level || topic.startsWith(`${level}/`);
}
