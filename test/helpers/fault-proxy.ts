import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** How a proxied line is at the moment. */
export interface Line {
  /** Delay of every chunk, ms. */
  readonly delayMs: number;
  /** Bytes per second each way; 0 is no limit. */
  readonly bytesPerS: number;
  /** Chance that a chunk waits for a retransmission, as after a lost packet. */
  readonly loss: number;
}

const GOOD: Line = { delayMs: 0, bytesPerS: 0, loss: 0 };

/** TCP's first retransmission comes after about this long, ms. */
const RETRANSMISSION_MS = 200;

/** Chunks on the line, above which the sender has to wait. */
const MAX_QUEUE = 64;

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  isHole: boolean;
}

/** A TCP line to a broker that a test can break in every way lines break. */
export class FaultProxy {
  line: Line = GOOD;
  /** New connections are taken, and nobody answers. */
  isHole = false;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #random: () => number;
  #targetPort: number;

  private constructor(server: Server, targetPort: number, random: () => number) {
    this.#server = server;
    this.#targetPort = targetPort;
    this.#random = random;
  }

  /** The proxy ends with the running test. */
  static async start(targetPort: number, random: () => number = Math.random): Promise<FaultProxy> {
    const server = createServer({ allowHalfOpen: false });
    const proxy = new FaultProxy(server, targetPort, random);
    server.on("connection", (client) => proxy.#accept(client));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(async () => {
      proxy.breakAll("rst");
      server.close();
      await once(server, "close");
    });
    return proxy;
  }

  get tcpPort(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /** Ends every connection by RST or FIN; what is on its way is lost. */
  breakAll(how: "rst" | "fin"): void {
    for (const { client, server } of this.#pairs) {
      if (how === "rst") client.resetAndDestroy();
      else client.end();
      server.destroy();
    }
  }

  /** From now on the connections there are carry nothing, either way, and do not end. */
  freeze(): void {
    for (const pair of this.#pairs) pair.isHole = true;
  }

  heal(): void {
    this.line = GOOD;
    this.isHole = false;
  }

  #accept(client: Socket): void {
    const server = connect(this.#targetPort, "127.0.0.1");
    const pair: Pair = { client, server, isHole: this.isHole };
    this.#pairs.add(pair);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => this.#close(pair));
    }
    this.#carry(pair, client, server);
    this.#carry(pair, server, client);
  }

  #carry(pair: Pair, from: Socket, to: Socket): void {
    const queue: { readonly chunk: Buffer; readonly arrivesAtMs: number }[] = [];
    let freeAtMs = 0;
    let lastAtMs = 0;
    let timer: NodeJS.Timeout | null = null;
    const deliver = () => {
      timer = null;
      for (let head = queue[0]; head !== undefined; head = queue[0]) {
        const waitMs = head.arrivesAtMs - performance.now();
        if (waitMs > 0) {
          timer = setTimeout(deliver, waitMs);
          return;
        }
        queue.shift();
        if (to.writable && !pair.isHole) to.write(head.chunk);
      }
      from.resume();
    };
    from.on("data", (chunk) => {
      if (pair.isHole) return;
      const { delayMs, bytesPerS, loss } = this.line;
      const isLost = loss > 0 && this.#random() < loss;
      const takesMs = bytesPerS === 0 ? 0 : (chunk.length * 1000) / bytesPerS;
      const sentAtMs = Math.max(performance.now(), freeAtMs) + takesMs;
      // In order, as TCP keeps it: what comes behind a lost packet waits with it.
      lastAtMs = Math.max(lastAtMs, sentAtMs + delayMs + (isLost ? RETRANSMISSION_MS : 0));
      freeAtMs = sentAtMs;
      queue.push({ chunk, arrivesAtMs: lastAtMs });
      if (queue.length > MAX_QUEUE) from.pause();
      if (timer === null) deliver();
    });
  }

  #close(pair: Pair): void {
    this.#pairs.delete(pair);
    pair.client.destroy();
    pair.server.destroy();
  }
}
