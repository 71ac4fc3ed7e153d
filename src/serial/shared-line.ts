import type { SerialPortConfig } from "../config/index.ts";
import type { Log } from "../log/index.ts";
import type { Clock } from "../time/index.ts";
import { type LineStatus, SerialLine } from "./line.ts";

/** A line for requests and answers: what nobody has asked for is forgotten. */
export class SharedLine {
  readonly baudRate: number;
  readonly #line: SerialLine;
  #onData: ((chunk: Buffer) => void) | null = null;

  constructor(deps: { log: Log; clock: Clock }, name: string, cfg: SerialPortConfig) {
    const user = {
      onData: (chunk: Buffer) => this.#onData?.(chunk),
      onOpen() {},
      onClosed() {},
    };
    this.baudRate = cfg.baud_rate;
    this.#line = new SerialLine({ ...deps, user }, name, cfg);
  }

  get isOpen(): boolean {
    return this.#line.isOpen;
  }

  start(): Promise<void> {
    return this.#line.start();
  }

  async stop(): Promise<void> {
    this.release();
    await this.#line.stop();
  }

  async send(request: Buffer, onData: (chunk: Buffer) => void): Promise<void> {
    this.#onData = onData;
    await this.#line.write(request);
  }

  release(): void {
    this.#onData = null;
  }

  status(): LineStatus {
    return this.#line.status();
  }
}
