import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { type Child, startChild } from "./child.ts";
import { tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

/**
 * A serial device of the test: socat makes a pseudo terminal, under a link that stays the same, and
 * carries its bytes to the test. Plugged in again it has another number, as an adapter has.
 */
export class PseudoDevice {
  /** The path a gateway is configured with; plugged in under another one, it is at another place. */
  path: string;
  readonly #server: Server;
  #socat: Child | null = null;
  #socket: Socket | null = null;
  #received = Buffer.alloc(0);

  private constructor(path: string, server: Server) {
    this.path = path;
    this.#server = server;
  }

  /** Makes the device and plugs it in. */
  static async plugged(name = "ttyTest"): Promise<PseudoDevice> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => {
      server.close();
    });
    const device = new PseudoDevice(join(tempDir(), name), server);
    await device.plug();
    return device;
  }

  async plug(): Promise<void> {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("no TCP port");
    const connected = once(this.#server, "connection");
    this.#socat = startChild("socat", [
      `PTY,raw,echo=0,link=${this.path}`,
      `TCP:127.0.0.1:${address.port},nodelay`,
    ]);
    const [socket] = (await connected) as [Socket];
    this.#socket = socket;
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
    await until(`${this.path}`, () => existsSync(this.path));
  }

  /** The terminal and its link go away, whatever was under way. */
  async unplug(): Promise<void> {
    this.#socket?.destroy();
    await this.#socat?.kill("SIGKILL");
    await until("the link to be stale", () => !existsSync(this.path));
  }

  /** Sends bytes as the device does. */
  say(bytes: Buffer | string): void {
    this.#socket?.write(bytes);
  }

  /** Everything written to the device so far. */
  get received(): Buffer {
    return this.#received;
  }

  /** Answers what is written to the device: `answer` is called with each piece. */
  onWritten(answer: (bytes: Buffer) => void): void {
    this.#socket?.on("data", answer);
  }
}
