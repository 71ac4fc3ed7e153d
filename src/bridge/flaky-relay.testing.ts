import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** A TCP relay to a broker whose connections a test can break. */
export class FlakyRelay implements AsyncDisposable {
  /** New connections are closed at once: the cloud is away. */
  isRefusing = false;
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(brokerPort: number): Promise<FlakyRelay> {
    const server = createServer();
    const relay = new FlakyRelay(server);
    server.on("connection", (client) => {
      if (relay.isRefusing) {
        client.destroy();
        return;
      }
      const pair = [client, connect(brokerPort, "127.0.0.1")] as const;
      relay.#pairs.add(pair);
      for (const socket of pair) {
        socket.on("error", () => socket.destroy());
        socket.on("close", () => relay.#breakPair(pair));
      }
      pair[0].pipe(pair[1]).pipe(pair[0]);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return relay;
  }

  get tcpPort(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** Ends every connection, by RST or FIN; what is on its way is lost. */
  breakAll(withReset: boolean): void {
    for (const [client, broker] of this.#pairs) {
      if (withReset) client.resetAndDestroy();
      else client.destroy();
      broker.destroy();
    }
  }

  /** Takes bytes no more, and gives none: a black hole. */
  freeze(): void {
    for (const [client, broker] of this.#pairs) {
      client.unpipe(broker).pause();
      broker.unpipe(client).pause();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.breakAll(false);
    this.#server.close();
    await once(this.#server, "close");
  }

  #breakPair(pair: readonly [Socket, Socket]): void {
    this.#pairs.delete(pair);
    for (const socket of pair) socket.destroy();
  }
}
