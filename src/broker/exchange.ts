import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import { type Message, type Origin, topic } from "../mqtt/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import { messageOf } from "./aedes-packet.ts";
import type { Publication } from "./publication.ts";
import type { TroubleLog } from "./trouble-log.ts";

/** Handles one emitted packet and calls `done` when it is through with it. */
export type EmitterListener = (packet: object, done: () => void) => void;

/** aedes's emitter contract (mqemitter 7), as far as the broker uses it. */
export interface Emitter {
  on(filter: string, listener: EmitterListener, done?: () => void): unknown;
  removeListener(filter: string, listener: EmitterListener, done?: () => void): unknown;
  emit(packet: object, done: (err?: Error | null) => void): unknown;
  close(done: () => void): unknown;
}

/** What the exchange works with. */
export interface ExchangeContext {
  readonly log: Log;
  readonly clock: Clock;
  readonly trouble: TroubleLog;
  /** Brings a message of another broker to the receivers of this one. */
  readonly deliver: (message: Message) => Promise<void>;
  /** Publishes for local receivers and other brokers. */
  readonly announce: (message: Message) => void;
  /** Another broker has the client now. */
  readonly cutOff: (clientId: string) => void;
}

const HEARTBEAT_MS = 60_000;
/** aedes forgets a broker that was silent for so many heartbeats. */
const SILENT_BEATS = 3;
const EVERYTHING = "#";
const TRAFFIC = /^\$SYS\/([^/]+)\/(heartbeat|birth|new\/clients)$/;

/**
 * Joins brokers by aedes's emitter: what is published here goes out once, what others publish comes
 * in once, and a client that connects there is cut off here. Sessions, queues and retained messages
 * stay each broker's own.
 */
export class Exchange {
  /** Monotonic time of the last sign of each broker, ms, by its id. */
  readonly brokers: Record<string, number> = Object.create(null);
  readonly #emitter: Emitter;
  readonly #id: string;
  readonly #context: ExchangeContext;
  #counter = 0;
  #timer: Timer | null = null;

  constructor(emitter: Emitter, id: string, context: ExchangeContext) {
    this.#emitter = emitter;
    this.#id = id;
    this.#context = context;
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#emitter.on(EVERYTHING, this.#onPacket, resolve);
    });
    this.tell("birth", this.#id);
    this.#timer = this.#context.clock.every(HEARTBEAT_MS, () => this.#beat());
  }

  /** Leaves the emitter and closes it, as aedes does with the one it was given. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    await new Promise<void>((resolve) => {
      this.#emitter.removeListener(EVERYTHING, this.#onPacket, resolve);
    });
    await new Promise<void>((resolve) => {
      this.#emitter.close(resolve);
    });
  }

  /** Hands a message to the other brokers; resolves when the emitter has it. */
  forward(pub: Publication): Promise<void> {
    const { properties, origin, ...message } = pub.keep();
    const packet = {
      cmd: "publish",
      brokerId: this.#id,
      brokerCounter: ++this.#counter,
      topic: message.topic,
      payload: message.payload,
      qos: message.qos,
      retain: message.retain,
      dup: false,
      ...(origin.kind === "client" ? { clientId: origin.clientId } : {}),
      // User properties as pairs: their order is part of the message.
      ...(properties === undefined ? {} : { properties }),
    };
    return new Promise((resolve, reject) => {
      this.#emitter.emit(packet, (err) => (err instanceof Error ? reject(err) : resolve()));
    });
  }

  /** aedes's own traffic between brokers: `$SYS/<broker>/<kind>`. */
  tell(kind: "birth" | "heartbeat" | "new/clients" | "disconnect/clients", text: string): void {
    this.#context.announce({
      topic: topic(`$SYS/${this.#id}/${kind}`),
      payload: Buffer.from(text),
      qos: 0,
      retain: false,
      origin: { kind: "system" },
    });
  }

  readonly #onPacket: EmitterListener = (packet, done) => {
    const from: unknown = Reflect.get(packet, "brokerId");
    if (from === this.#id) {
      done();
      return;
    }
    const { deliver, trouble, log } = this.#context;
    let message: Message;
    try {
      message = messageOf(packet, originOf(packet, String(from)));
    } catch (err) {
      trouble.report("another broker's message", { err: reasonOf(err) });
      done();
      return;
    }
    this.#heed(message);
    deliver(message)
      .catch((err: unknown) => {
        log.warn({ err: reasonOf(err) }, "a message of another broker could not be stored");
      })
      .finally(done);
  };

  #heed({ topic: name, payload }: Message): void {
    const [, from, kind] = TRAFFIC.exec(name) ?? [];
    if (from === undefined || from === this.#id) return;
    if (kind === "new/clients") this.#context.cutOff(payload.toString());
    else this.brokers[from] = this.#context.clock.monotonicMs();
  }

  #beat(): void {
    const oldest = this.#context.clock.monotonicMs() - SILENT_BEATS * HEARTBEAT_MS;
    for (const [id, seenMs] of Object.entries(this.brokers)) {
      if (seenMs < oldest) delete this.brokers[id];
    }
    this.tell("heartbeat", this.#id);
  }
}

/** A broker's own events stay what they are: they are not counted as messages. */
function originOf(packet: object, broker: string): Origin {
  const name: unknown = Reflect.get(packet, "topic");
  if (typeof name === "string" && name.startsWith("$SYS/")) return { kind: "system" };
  return { kind: "bridge", bridge: broker };
}
