import { connect, type Socket } from "node:net";
import type { Clock } from "../time/index.ts";
import { ModbusFault } from "./fault.ts";
import type { Transport } from "./transport.ts";

/** MBAP header without the unit (MODBUS Messaging on TCP/IP 1.0b §3.1.3), and longest rest after it. */
const HEADER_BYTES = 6;
const MAX_REST_BYTES = 254;

/** Modbus TCP over one connection, opened for the first request and again after it was lost. */
export function createTcpTransport(
  clock: Clock,
  server: { readonly host: string; readonly tcpPort: number },
): Transport {
  let socket: Socket | null = null;
  let received: Buffer = Buffer.alloc(0);
  let transaction = 0;
  let waiting: {
    id: number;
    unit: number;
    answer(pdu: Buffer): void;
    fail(reason: string): void;
  } | null = null;

  function drop(from: Socket, reason: string): void {
    if (socket !== from) return;
    socket = null;
    from.destroy();
    waiting?.fail(reason);
  }

  function onData(from: Socket, chunk: Buffer): void {
    if (socket !== from) return;
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    while (received.length >= HEADER_BYTES) {
      const rest = received.readUInt16BE(4);
      if (received.readUInt16BE(2) !== 0 || rest < 3 || rest > MAX_REST_BYTES) {
        drop(from, "the server speaks something else than Modbus");
        return;
      }
      if (received.length < HEADER_BYTES + rest) return;
      const id = received.readUInt16BE(0);
      const unit = received[HEADER_BYTES];
      const pdu = Buffer.from(received.subarray(HEADER_BYTES + 1, HEADER_BYTES + rest));
      received = received.subarray(HEADER_BYTES + rest);
      // Anything else is the late answer to a request that has been given up.
      if (waiting?.id === id && waiting.unit === unit) waiting.answer(pdu);
    }
  }

  function opened(): Promise<Socket> {
    if (socket !== null) return Promise.resolve(socket);
    received = Buffer.alloc(0);
    const made = connect({ host: server.host, port: server.tcpPort, noDelay: true });
    socket = made;
    made.on("data", (chunk) => onData(made, chunk));
    made.on("error", (err) => drop(made, err.message));
    made.on("close", () => drop(made, "the server has closed the connection"));
    return new Promise((resolve, reject) => {
      made.once("connect", () => resolve(made));
      made.once("close", () => reject(new ModbusFault("line", "the server cannot be reached")));
    });
  }

  return {
    request(unit, pdu, timeoutMs) {
      transaction = (transaction + 1) & 0xffff;
      const id = transaction;
      const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
      const timer = clock.after(timeoutMs, () => {
        // A connection that was never made is not waited for any longer.
        if (socket?.connecting === true) drop(socket, "the server cannot be reached");
        reject(new ModbusFault("timeout", `no answer within ${timeoutMs} ms`));
      });
      waiting = {
        id,
        unit,
        answer: resolve,
        fail: (reason) => reject(new ModbusFault("line", reason)),
      };
      opened().then((line) => {
        const head = Buffer.alloc(HEADER_BYTES + 1);
        head.writeUInt16BE(id, 0);
        head.writeUInt16BE(pdu.length + 1, 4);
        head[HEADER_BYTES] = unit;
        line.write(Buffer.concat([head, pdu]));
      }, reject);
      return promise.finally(() => {
        timer.cancel();
        if (waiting?.id === id) waiting = null;
      });
    },
    async stop() {
      const last = socket;
      socket = null;
      last?.destroy();
      waiting?.fail("stopped");
    },
  };
}
