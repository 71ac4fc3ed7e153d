import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (err: Error) => void;
}

/** QEMU's machine protocol (QMP) on a unix socket: one JSON object per line, answers in order. */
export class Monitor {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  #rest = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#take(text));
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error("QEMU is gone"));
    });
  }

  /** Connects as soon as QEMU listens, which takes it a moment. */
  static async open(path: string, deadlineMs = 30_000): Promise<Monitor> {
    const endMs = performance.now() + deadlineMs;
    for (;;) {
      const socket = connect(path);
      try {
        await once(socket, "connect");
        const monitor = new Monitor(socket);
        await monitor.run("qmp_capabilities");
        return monitor;
      } catch (err) {
        socket.destroy();
        if (performance.now() > endMs) throw new Error(`no monitor at ${path}`, { cause: err });
        await delay(50);
      }
    }
  }

  /** Resolves with what the command returns. */
  run(execute: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.push({ resolve, reject });
    this.#socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    return promise;
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const message: Readonly<Record<string, unknown>> = JSON.parse(line);
      // The greeting and events are nobody's answer.
      if ("return" in message) this.#waiting.shift()?.resolve(message["return"]);
      if ("error" in message) this.#waiting.shift()?.reject(new Error(line));
    }
  }
}
