import type { SerialPortConfig } from "../config/index.ts";
import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import { type Bus, clientId, type Message, topic, topicFilter } from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import {
  createFramer,
  type DiscardReason,
  encodeFrame,
  type Framer,
  idleTimeMs,
  Unsendable,
} from "./framing/index.ts";
import { type LineStatus, SerialLine } from "./line.ts";
import { bytesOf, payloadOf, type ReadingStamp } from "./payload.ts";

/** A port that turns frames into messages and messages into frames. */
export interface FramePortStatus extends LineStatus {
  readonly framesIn: number;
  readonly framesOut: number;
  /** Bytes of the line that belonged to no frame, by reason. */
  readonly discardedBytes: Readonly<Record<DiscardReason, number>>;
  /** Frames the broker did not take. */
  readonly unpublished: number;
  /** Messages for the port that were not written: bad payload, full queue, or the port was away. */
  readonly refused: number;
  /** Messages that wait to be written. */
  readonly queued: number;
}

export interface FramePortDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly bus: Bus;
  stamp(): ReadingStamp;
}

/** Frames the broker has not made safe yet; with as many, the port is not read. */
const MAX_UNPUBLISHED = 256;

export class FramePort {
  readonly #deps: FramePortDeps;
  readonly #name: string;
  readonly #cfg: SerialPortConfig;
  readonly #line: SerialLine;
  readonly #framer: Framer;
  readonly #idleMs: number;
  readonly #discarded = { too_long: 0, malformed: 0, incomplete: 0 };
  readonly #queue: Buffer[] = [];
  #idleTimer: Timer | null = null;
  #lastDataMs = 0;
  #unsubscribe: (() => void) | null = null;
  #isWriting = false;
  #underWay = 0;
  #seq = 0;
  #framesIn = 0;
  #framesOut = 0;
  #unpublished = 0;
  #refused = 0;

  constructor(deps: FramePortDeps, name: string, cfg: SerialPortConfig) {
    this.#deps = deps;
    this.#name = name;
    this.#cfg = cfg;
    this.#idleMs = idleTimeMs(cfg.framing);
    this.#framer = createFramer(cfg.framing, {
      frame: (bytes) => this.#publish(bytes),
      discard: (bytes, reason) => {
        this.#discarded[reason] += bytes;
      },
    });
    this.#line = new SerialLine(
      {
        log: deps.log,
        clock: deps.clock,
        user: {
          onData: (chunk) => this.#onData(chunk),
          onOpen: () => this.#writeNext(),
          onClosed: () => {
            this.#idleTimer?.cancel();
            this.#idleTimer = null;
            this.#framer.reset();
          },
        },
      },
      name,
      cfg,
    );
  }

  async start(): Promise<void> {
    const { down_topic } = this.#cfg;
    if (down_topic !== null) {
      this.#unsubscribe ??= this.#deps.bus.subscribe(topicFilter(down_topic), (message) =>
        this.#enqueue(message),
      );
    }
    await this.#line.start();
  }

  async stop(): Promise<void> {
    this.#unsubscribe?.();
    this.#unsubscribe = null;
    this.#refused += this.#queue.length;
    this.#queue.length = 0;
    await this.#line.stop();
  }

  status(): FramePortStatus {
    return {
      ...this.#line.status(),
      framesIn: this.#framesIn,
      framesOut: this.#framesOut,
      discardedBytes: { ...this.#discarded },
      unpublished: this.#unpublished,
      refused: this.#refused,
      queued: this.#queue.length,
    };
  }

  #onData(chunk: Buffer): void {
    this.#framer.push(chunk);
    if (this.#idleMs === 0) return;
    // One timer that looks again, not one per chunk.
    this.#lastDataMs = this.#deps.clock.monotonicMs();
    this.#idleTimer ??= this.#deps.clock.after(this.#idleMs, () => this.#onIdle());
  }

  #onIdle(): void {
    this.#idleTimer = null;
    const silentMs = this.#deps.clock.monotonicMs() - this.#lastDataMs;
    if (silentMs >= this.#idleMs) this.#framer.idle();
    else {
      const restMs = Math.ceil(this.#idleMs - silentMs);
      this.#idleTimer = this.#deps.clock.after(restMs, () => this.#onIdle());
    }
  }

  #publish(frame: Buffer): void {
    const { bus, stamp, log } = this.#deps;
    this.#framesIn += 1;
    const about = { port: this.#name, seq: this.#seq++, stamp: stamp() };
    this.#underWay += 1;
    if (this.#underWay === MAX_UNPUBLISHED) this.#line.pause();
    bus
      .publish({
        topic: topic(this.#cfg.topic ?? `serial/${this.#name}/up`),
        payload: payloadOf(this.#cfg.payload, frame, about),
        qos: this.#cfg.qos,
        retain: this.#cfg.retain,
        origin: { kind: "api", clientId: clientId(`serial-${this.#name}`) },
      })
      .catch((err: unknown) => {
        this.#unpublished += 1;
        log.debug({ port: this.#name, err: reasonOf(err) }, "a frame was not taken");
      })
      .finally(() => {
        this.#underWay -= 1;
        if (this.#underWay === MAX_UNPUBLISHED / 2) this.#line.resume();
      });
  }

  #enqueue(message: Message): void {
    const { log } = this.#deps;
    try {
      const { framing, down_payload, down_queue_messages } = this.#cfg;
      if (!this.#line.isOpen) throw new Unsendable("the port is not open");
      if (this.#queue.length >= down_queue_messages) throw new Unsendable("the queue is full");
      this.#queue.push(encodeFrame(framing, bytesOf(down_payload, message.payload)));
    } catch (err) {
      if (!(err instanceof Unsendable)) throw err;
      this.#refused += 1;
      log.debug(
        { port: this.#name, reason: err.message, topic: message.topic },
        "a message was not written",
      );
      return;
    }
    this.#writeNext();
  }

  #writeNext(): void {
    if (this.#isWriting) return;
    const bytes = this.#queue.shift();
    if (bytes === undefined) return;
    this.#isWriting = true;
    this.#line
      .write(bytes)
      .then(() => {
        this.#framesOut += 1;
      })
      .catch((err: unknown) => {
        this.#refused += 1;
        this.#deps.log.debug({ port: this.#name, err: reasonOf(err) }, "a message was not written");
      })
      .finally(() => {
        this.#isWriting = false;
        this.#writeNext();
      });
  }
}
