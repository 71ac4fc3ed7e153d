import { reasonOf } from "../errors/index.ts";
import type { Clock } from "../time/index.ts";
import { crc16 } from "./crc.ts";
import { ModbusFault } from "./fault.ts";
import { answerLength } from "./pdu.ts";
import type { Transport } from "./transport.ts";

/** The serial line requests go over; it is this line's alone. */
export interface RtuLine {
  readonly isOpen: boolean;
  send(request: Buffer, onData: (chunk: Buffer) => void): Promise<void>;
  release(): void;
}

/** Longest RTU frame (MODBUS over Serial Line 1.02 §2.5.1), and room for noise before it. */
const MAX_RECEIVED_BYTES = 512;

/**
 * Modbus RTU. An answer is found by its unit, function, length and CRC rather than by the silence
 * around it, which no operating system measures well; noise and late answers of others before it are
 * passed over.
 * @param line looked up for each request: the port may be configured anew
 * @param pauseMs silence before each request, the 3.5 characters of §2.5.1.1 included
 */
export function createRtuTransport(
  clock: Clock,
  line: () => RtuLine | null,
  pauseMs: () => number,
): Transport {
  let lastMs = Number.NEGATIVE_INFINITY;

  function pause(): Promise<void> {
    const restMs = lastMs + pauseMs() - clock.monotonicMs();
    if (restMs <= 0) return Promise.resolve();
    return new Promise((resolve) => clock.after(Math.ceil(restMs), resolve));
  }

  return {
    async request(unit, pdu, timeoutMs) {
      const port = line();
      if (port === null) throw new ModbusFault("line", "there is no such serial port");
      if (!port.isOpen) throw new ModbusFault("line", "the serial port is not open");
      await pause();
      const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
      // Handled below in any case: the line may fail first.
      promise.catch(() => undefined);
      let received: Buffer = Buffer.alloc(0);
      const timer = clock.after(timeoutMs, () => {
        reject(
          received.length === 0
            ? new ModbusFault("timeout", `no answer within ${timeoutMs} ms`)
            : new ModbusFault("garbled", `no answer among the ${received.length} bytes that came`),
        );
      });
      try {
        await port
          .send(frameOf(unit, pdu), (chunk) => {
            received = Buffer.concat([received, chunk]).subarray(-MAX_RECEIVED_BYTES);
            const answer = findAnswer(received, unit, pdu[0] ?? 0);
            if (answer !== null) resolve(answer);
          })
          .catch((err: unknown) => {
            throw new ModbusFault("line", reasonOf(err));
          });
        return await promise;
      } finally {
        timer.cancel();
        port.release();
        lastMs = clock.monotonicMs();
      }
    },
    async stop() {},
  };
}

/** Milliseconds 3.5 characters of 11 bits take; 1.75 ms above 19,200 baud (§2.5.1.1). */
export function silenceMs(baudRate: number): number {
  return baudRate > 19_200 ? 1.75 : (3.5 * 11 * 1000) / baudRate;
}

/** A request as it goes over the line: unit, PDU, CRC. */
export function frameOf(unit: number, pdu: Buffer): Buffer {
  const frame = Buffer.alloc(pdu.length + 3);
  frame[0] = unit;
  pdu.copy(frame, 1);
  frame.writeUInt16LE(crc16(frame, 0, frame.length - 2), frame.length - 2);
  return frame;
}

function findAnswer(received: Buffer, unit: number, code: number): Buffer | null {
  for (let at = 0; at + 4 < received.length; at++) {
    if (received[at] !== unit || ((received[at + 1] ?? 0) & 0x7f) !== code) continue;
    const length = answerLength(code, received, at + 1);
    if (length === null) continue;
    const end = at + 1 + length;
    if (end + 2 > received.length) continue;
    if (received.readUInt16LE(end) === crc16(received, at, end)) {
      return Buffer.from(received.subarray(at + 1, end));
    }
  }
  return null;
}
