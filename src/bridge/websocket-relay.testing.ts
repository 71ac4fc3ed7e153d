import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { connect } from "node:net";
import { createWebSocketStream, WebSocketServer } from "ws";

/** A WebSocket server in front of a broker's TCP port: Debian's mosquitto cannot always be one. */
export class WebSocketRelay implements AsyncDisposable {
  readonly tcpPort: number;
  readonly #close: () => Promise<void>;

  private constructor(tcpPort: number, close: () => Promise<void>) {
    this.tcpPort = tcpPort;
    this.#close = close;
  }

  static async start(
    brokerPort: number,
    certificate?: { cert: string; key: string },
  ): Promise<WebSocketRelay> {
    const notFound: RequestListener = (_, response) => response.writeHead(404).end();
    const web =
      certificate === undefined
        ? createServer(notFound)
        : createSecureServer(
            { cert: await readFile(certificate.cert), key: await readFile(certificate.key) },
            notFound,
          );
    const sockets = new WebSocketServer({
      server: web,
      path: "/mqtt",
      handleProtocols: (offered) => [...offered][0] ?? false,
    });
    sockets.on("connection", (socket) => {
      const client = createWebSocketStream(socket);
      const broker = connect(brokerPort, "127.0.0.1");
      for (const stream of [client, broker]) {
        stream.on("error", () => stream.destroy());
        stream.on("close", () => {
          client.destroy();
          broker.destroy();
        });
      }
      client.pipe(broker).pipe(client);
    });
    web.listen(0, "127.0.0.1");
    await once(web, "listening");
    const address = web.address();
    return new WebSocketRelay(
      typeof address === "object" && address !== null ? address.port : 0,
      async () => {
        for (const socket of sockets.clients) socket.terminate();
        sockets.close();
        web.closeAllConnections();
        web.close();
        await once(web, "close");
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}
