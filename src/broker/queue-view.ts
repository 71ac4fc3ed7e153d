import type { QueuePart, SessionStore } from "../mqtt/index.ts";
import { QUEUE_PLACES, type QueuedView, type QueueEntry, type QueuePage } from "../mqtt/index.ts";
import type { Session } from "./session.ts";

/** Which part of which queue is asked for. */
export interface QueueQuestion {
  readonly part: QueuePart;
  /** Only what stands behind this place; null = from the beginning. */
  readonly after: number | null;
  readonly maxMessages: number;
  /** The page ends with the message that reaches this many topic and payload bytes. */
  readonly maxBytes: number;
}

/** Entries read from the store at a time. */
const READ_MESSAGES = 1000;

/**
 * A part of what a session has waiting, or on its way. A session that ends with its connection keeps
 * nothing of what it has sent: its part "inflight" is empty, though it is counted.
 */
export async function queuePage(session: Session, question: QueueQuestion): Promise<QueuePage> {
  const { store } = session;
  if (store === null) return pageInMemory(session, question);
  const [from, to] = boundsOf(session, store, question.part);
  const first = await read(session, store, { ...question, after: null, maxMessages: 1 }, from, to);
  const start = Math.max(from, behind(session, question.after));
  const messages = start === from && question.maxMessages === 1 ? first : null;
  return {
    first: first[0] ?? null,
    messages: messages ?? (await read(session, store, question, start, to)),
  };
}

/** The lowest sequence that may be shown and the first that may not. */
function boundsOf(session: Session, store: SessionStore, part: QueuePart): [number, number] {
  const oldest = store.queue.count === 0 ? session.nextSeq : store.queue.firstSeq;
  if (part === "inflight") return [oldest, session.sentSeq];
  return [Math.max(oldest, session.sentSeq), session.nextSeq];
}

/** The sequence behind a place: the newest one that has it. */
function behind(session: Session, after: number | null): number {
  if (after === null) return 0;
  const last = session.nextSeq - 1;
  const back = (((last - after) % QUEUE_PLACES) + QUEUE_PLACES) % QUEUE_PLACES;
  return last - back + 1;
}

async function read(
  session: Session,
  store: SessionStore,
  { maxMessages, maxBytes }: QueueQuestion,
  from: number,
  to: number,
): Promise<QueuedView[]> {
  const found: QueuedView[] = [];
  let next = from;
  let bytesLeft = maxBytes;
  while (next < to && found.length < maxMessages && bytesLeft > 0) {
    const wanted = Math.min(READ_MESSAGES, maxMessages - found.length);
    const entries = await store.readQueue(next, wanted, bytesLeft);
    // Its end, or a session that has ended meanwhile.
    if (entries.length === 0 || session.store !== store) break;
    for (const entry of entries) {
      next = entry.seq + 1;
      const view = viewOf(entry);
      if (view === null || entry.seq >= to) continue;
      found.push(view);
      bytesLeft -= Buffer.byteLength(view.message.topic) + view.message.payload.length;
    }
  }
  return found;
}

function pageInMemory(session: Session, { part, after, ...bounds }: QueueQuestion): QueuePage {
  if (part === "inflight") return { first: null, messages: [] };
  const start = behind(session, after);
  let first: QueuedView | null = null;
  const messages: QueuedView[] = [];
  let bytes = 0;
  for (const entry of session.pending) {
    const view = viewOf(entry);
    if (view === null) continue;
    first ??= view;
    if (entry.seq < start) continue;
    if (messages.length >= bounds.maxMessages || bytes >= bounds.maxBytes) break;
    messages.push(view);
    bytes += Buffer.byteLength(view.message.topic) + view.message.payload.length;
  }
  return { first, messages };
}

/** A released QoS 2 message has no content any more. */
function viewOf(entry: QueueEntry): QueuedView | null {
  if (entry.message === null) return null;
  return { place: entry.seq % QUEUE_PLACES, message: entry.message, qos: entry.qos };
}
