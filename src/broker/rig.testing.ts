import assert from "node:assert";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { defaultsOf } from "../config/collections.ts";
import { type Config, SCHEMA } from "../config/index.ts";
import { createLog, type Log } from "../log/index.ts";
import { type Message, type Peer, type QoS, topic, topicFilter } from "../mqtt/index.ts";
import { createStore, type Store } from "../store/index.ts";
import { type Clock, systemClock } from "../time/index.ts";
import type {
  Authenticator,
  Authorizer,
  Broker,
  BrokerConfig,
  BrokerDeps,
  createBroker,
} from "./index.ts";
import { type MemoryDisk, MemoryStore, newDisk } from "./memory-store.testing.ts";

/** Builds the broker under test. */
export type CreateBroker = typeof createBroker;

type AuthorizeRequest = Parameters<Authorizer["authorize"]>[0];
type Verdict = Awaited<ReturnType<Authenticator["authenticate"]>>;

export interface RigOptions {
  /** The store under the broker; memory when left out. */
  readonly store?: "memory" | "leveldb";
  readonly mqtt?: Partial<Config["mqtt"]>;
  readonly msqLen?: number;
  readonly bounds?: NonNullable<BrokerConfig["bounds"]>;
  readonly denyAction?: Authorizer["denyAction"];
  readonly authenticate?: Authenticator["authenticate"];
  readonly isAllowed?: (request: AuthorizeRequest) => boolean;
  readonly revision?: NonNullable<Authorizer["revision"]>;
  readonly emitter?: BrokerDeps["emitter"];
  readonly persistence?: object;
  /** Bans, rewriting, delayed messages and automatic subscriptions, for the broker that starts. */
  readonly ports?: (
    broker: () => Broker,
  ) => Pick<BrokerDeps, "admission" | "rewrite" | "delayed" | "autoSubscriptions">;
  /** The broker's clock; the machine's unless stated. */
  readonly clock?: Clock;
}

/** A received message, as a test compares it. */
export interface Received {
  readonly topic: string;
  readonly text: string;
  readonly qos: number;
  readonly retain: boolean;
}

const DEADLINE_MS = 8000;

/** A broker on a real store and a real TCP port. */
export class Rig {
  readonly #create: CreateBroker;
  readonly #options: RigOptions;
  readonly #disk: MemoryDisk = newDisk();
  readonly #dir: string | null;
  readonly #clients: MqttClient[] = [];
  readonly #sockets: Socket[] = [];
  /** Answer to every CONNECT, unless the options decide. */
  verdict: Verdict = "accepted";
  /** What the authorizer says, unless the options decide. */
  isAllowed: (request: AuthorizeRequest) => boolean;
  readonly #dying: Promise<void>[] = [];
  #server: Server | null = null;
  #parts: { store: MemoryStore | Store; broker: Broker } | null = null;

  private constructor(create: CreateBroker, options: RigOptions, dir: string | null) {
    this.#dir = dir;
    this.#create = create;
    this.#options = options;
    this.isAllowed = options.isAllowed ?? (() => true);
  }

  static async start(create: CreateBroker, options: RigOptions = {}): Promise<Rig> {
    const isOnDisk = options.store === "leveldb";
    const dir = isOnDisk ? await mkdtemp(join(tmpdir(), "tidegate-broker-")) : null;
    const rig = new Rig(create, options, dir);
    await rig.#start();
    return rig;
  }

  /** For streams that are no sockets of this rig. */
  serve(stream: Duplex, more: Partial<Peer> = {}): void {
    const peer = { listener: "test", address: "", tcpPort: 0, certificate: null };
    this.broker.handle(stream, { ...peer, ...more });
  }

  get broker(): Broker {
    assert(this.#parts !== null);
    return this.#parts.broker;
  }

  get store(): MemoryStore | Store {
    assert(this.#parts !== null);
    return this.#parts.store;
  }

  /** The store of a rig in memory. */
  get memory(): MemoryStore {
    assert(this.store instanceof MemoryStore);
    return this.store;
  }

  get tcpPort(): number {
    const address = this.#server?.address();
    assert(typeof address === "object" && address !== null);
    return (address satisfies AddressInfo).port;
  }

  /** Stops broker and store, and starts new ones on the same directory, `offMs` of gateway time later. */
  async restart({ offMs = 0 } = {}): Promise<void> {
    await this.#stop();
    this.#disk.nowMs += offMs;
    await this.#start();
  }

  /** The process dies: what is not committed is lost, and nobody is told. */
  async crash(): Promise<void> {
    this.memory.die();
    for (const client of this.#clients) client.stream.destroy();
    // A dead broker waits for its store in vain; the next one does not wait for it.
    const { broker } = this;
    this.#parts = null;
    this.#dying.push(broker.stop());
    await this.#stop();
    await this.#start();
  }

  async close(): Promise<void> {
    await Promise.all(this.#dying);
    for (const client of this.#clients) client.end(true);
    for (const socket of this.#sockets) socket.destroy();
    await this.#stop();
    if (this.#dir !== null) await rm(this.#dir, { recursive: true });
  }

  async connect(options: IClientOptions = {}): Promise<TestClient> {
    const client = await connectAsync(`mqtt://127.0.0.1:${this.tcpPort}`, {
      reconnectPeriod: 0,
      connectTimeout: DEADLINE_MS,
      protocolVersion: 4,
      ...options,
    });
    this.#clients.push(client);
    client.on("error", () => undefined);
    return new TestClient(client);
  }

  /** The CONNACK return code a CONNECT is refused with, 0 when it is accepted. */
  async returnCodeOf(options: IClientOptions): Promise<number> {
    try {
      await this.connect(options);
      return 0;
    } catch (err) {
      return err instanceof Error && "code" in err && typeof err.code === "number" ? err.code : -1;
    }
  }

  /** A bare TCP connection. */
  async raw(): Promise<RawClient> {
    const socket = connect(this.tcpPort, "127.0.0.1");
    this.#sockets.push(socket);
    await once(socket, "connect");
    return new RawClient(socket);
  }

  /** A bare connection whose CONNECT was accepted. */
  async rawConnected(clientId: string, { clean = true, keepAliveS = 0 } = {}): Promise<RawClient> {
    const raw = await this.raw();
    raw.send(connectFrame(clientId, { clean, keepAliveS }));
    assert.equal((await raw.frame())[3], 0, "CONNACK says accepted");
    return raw;
  }

  publish(name: string, text: string, more: { qos?: QoS; retain?: boolean } = {}): Promise<void> {
    return this.broker.publish(apiMessage(name, text, more));
  }

  /** The messages in-process subscribers get on `filter`, from now on. */
  listen(filter: string): Message[] {
    const messages: Message[] = [];
    this.broker.subscribe(topicFilter(filter), (message) => void messages.push(message));
    return messages;
  }

  async #start(): Promise<void> {
    const { mqtt, msqLen = 1000, bounds = {}, denyAction = "ignore", authenticate } = this.#options;
    const { emitter, persistence, revision } = this.#options;
    const log = createLog({ level: "fatal" });
    const store = await this.#openStore(log);
    const deps: BrokerDeps = {
      log,
      clock: this.#options.clock ?? systemClock,
      store,
      authenticator: { authenticate: authenticate ?? (async () => this.verdict) },
      authorizer: {
        denyAction,
        authorize: (request) => this.isAllowed(request),
        ...(revision === undefined ? {} : { revision }),
      },
      ...(emitter === undefined ? {} : { emitter }),
      ...(persistence === undefined ? {} : { persistence }),
      ...this.#options.ports?.(() => broker),
    };
    const cfg: BrokerConfig = {
      mqtt: { ...defaultsOf(SCHEMA.mqtt), ...mqtt },
      msqLen,
      bounds,
    };
    const broker: Broker = this.#create(deps, cfg);
    await broker.start();
    const server = createServer((socket) => {
      broker.handle(socket, {
        listener: "tcp",
        address: socket.remoteAddress ?? "",
        tcpPort: socket.remotePort ?? 0,
        certificate: null,
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    this.#server = server;
    this.#parts = { store, broker };
  }

  async #openStore(log: Log): Promise<MemoryStore | Store> {
    if (this.#dir === null) return new MemoryStore(this.#disk);
    const store = createStore({ log, clock: systemClock }, { path: join(this.#dir, "store") });
    await store.start();
    return store;
  }

  async #stop(): Promise<void> {
    const closed = this.#server && once(this.#server, "close");
    this.#server?.close();
    await this.#parts?.broker.stop();
    const store = this.#parts?.store;
    if (store !== undefined && "stop" in store) await store.stop();
    await closed;
  }
}

/** MQTT.js with the messages it received. */
class TestClient {
  readonly mqtt: MqttClient;
  readonly received: Received[] = [];

  constructor(mqtt: MqttClient) {
    this.mqtt = mqtt;
    mqtt.on("message", (name, payload, { qos, retain }) => {
      this.received.push({ topic: name, text: payload.toString(), qos, retain });
    });
  }

  get texts(): string[] {
    return this.received.map(({ text }) => text);
  }

  /** The granted QoS, 128 for a refused filter. */
  async subscribe(filter: string, qos: QoS = 0): Promise<number> {
    try {
      const [granted] = await this.mqtt.subscribeAsync(filter, { qos });
      return granted?.qos ?? -1;
    } catch {
      return 128;
    }
  }

  async publish(name: string, text: string, more: { qos?: QoS; retain?: boolean } = {}) {
    await this.mqtt.publishAsync(name, text, more);
  }

  /** DISCONNECT, then the connection closes. */
  async end(): Promise<void> {
    await this.mqtt.endAsync();
  }

  /** The connection closes without DISCONNECT. */
  async drop(): Promise<void> {
    this.mqtt.stream.destroy();
    await this.closed();
  }

  async closed(): Promise<void> {
    await until(() => !this.mqtt.connected);
  }
}

/** Bytes on a socket, frame by frame. */
class RawClient {
  readonly socket: Socket;
  #buffer = Buffer.alloc(0);
  #isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#isClosed = true;
    });
  }

  send(...bytes: (Buffer | readonly number[])[]): void {
    this.socket.write(Buffer.concat(bytes.map((part) => Uint8Array.from(part))));
  }

  /** The next frame; only short ones occur in tests. */
  async frame(): Promise<Buffer> {
    await until(() => this.#buffer.length >= 2 && this.#buffer.length >= 2 + this.#length());
    const frame = this.#buffer.subarray(0, 2 + this.#length());
    this.#buffer = this.#buffer.subarray(frame.length);
    return frame;
  }

  async closed(): Promise<void> {
    await until(() => this.#isClosed);
  }

  #length(): number {
    return this.#buffer[1] ?? 0;
  }
}

export function apiMessage(
  name: string,
  text: string,
  { qos = 0, retain = false }: { qos?: QoS; retain?: boolean } = {},
): Message {
  return {
    topic: topic(name),
    payload: Buffer.from(text),
    qos,
    retain,
    origin: { kind: "api", clientId: "api" },
  };
}

/** A length-prefixed UTF-8 string (MQTT 3.1.1 §1.5.3). */
export function text(value: string | Buffer): Buffer {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

export function frame(first: number, ...parts: (Buffer | readonly number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Uint8Array.from(part)));
  const length: number[] = [];
  let rest = body.length;
  do {
    length.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.concat([Buffer.from([first, ...length]), body]);
}

export function connectFrame(
  clientId: string | Buffer,
  { clean = true, keepAliveS = 0 } = {},
): Buffer {
  const keepAlive = [keepAliveS >> 8, keepAliveS & 0xff];
  return frame(0x10, text("MQTT"), [4, clean ? 2 : 0, ...keepAlive], text(clientId));
}

/** Resolves once `isTrue` is; fails at the deadline. */
export async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + DEADLINE_MS;
  while (!(await isTrue())) {
    assert(performance.now() < endMs, `in time: ${isTrue.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
