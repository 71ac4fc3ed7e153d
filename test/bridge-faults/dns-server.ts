import { createSocket } from "node:dgram";
import { once } from "node:events";
import { onTestFinished } from "vitest";

/** RFC 1035 §4.1.1: a response with recursion, and its code in the lowest bits. */
const RESPONSE = 0x8180;
const SERVFAIL = 2;
const TYPE_A = 1;

/** What a DNS server of a test makes of every question, and after how long; null: nothing. */
export interface DnsAnswer {
  readonly address: string | null;
  readonly afterMs: number;
}

/** A DNS server on port 53 of a loopback address; it ends with the running test. */
export async function startDns(address: string, answer: DnsAnswer | null): Promise<void> {
  const socket = createSocket("udp4");
  const timers = new Set<NodeJS.Timeout>();
  socket.on("message", (question, from) => {
    if (answer === null) return;
    const reply = replyTo(question, answer.address);
    const timer = setTimeout(() => {
      timers.delete(timer);
      socket.send(reply, from.port, from.address);
    }, answer.afterMs);
    timers.add(timer);
  });
  socket.bind(53, address);
  await once(socket, "listening");
  onTestFinished(async () => {
    for (const timer of timers) clearTimeout(timer);
    socket.close();
    await once(socket, "close");
  });
}

function replyTo(question: Buffer, address: string | null): Buffer {
  const nameEnd = question.indexOf(0, 12) + 1;
  const isKnown = address !== null && question.readUInt16BE(nameEnd) === TYPE_A;
  const header = Buffer.alloc(12);
  question.copy(header, 0, 0, 2);
  header.writeUInt16BE(RESPONSE | (address === null ? SERVFAIL : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(isKnown ? 1 : 0, 6);
  const asked = question.subarray(12, nameEnd + 4);
  if (!isKnown) return Buffer.concat([header, asked]);
  // The name of the question, type A, class IN, 60 s, four bytes.
  const record = Buffer.of(
    0xc0,
    12,
    0,
    1,
    0,
    1,
    0,
    0,
    0,
    60,
    0,
    4,
    ...address.split(".").map(Number),
  );
  return Buffer.concat([header, asked, record]);
}
