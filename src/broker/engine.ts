import type { EventEmitter } from "node:events";
import type { Duplex } from "node:stream";
import { Aedes } from "aedes";

/** CONNECT as aedes's decoder (mqtt-packet 9) hands it over. */
export interface ConnectPacket {
  readonly cmd: "connect";
  readonly protocolId: string;
  readonly protocolVersion: number;
  readonly clean: boolean;
  readonly keepalive: number;
  clientId: string;
  readonly username?: string;
  readonly password?: Buffer;
  readonly will?: {
    readonly topic: string;
    readonly payload: Buffer;
    readonly qos: number;
    readonly retain: boolean;
  };
}

/** One filter of a SUBSCRIBE. */
export interface WireSubscription {
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
}

/** The decoded packets whose content is checked before aedes acts on it. */
export type WirePacket =
  | ConnectPacket
  | {
      readonly cmd: "publish";
      readonly topic: string;
      readonly qos: number;
      readonly messageId?: number;
    }
  | {
      readonly cmd: "subscribe";
      readonly messageId: number;
      readonly subscriptions: readonly WireSubscription[];
    }
  | {
      readonly cmd: "unsubscribe";
      readonly messageId: number;
      readonly unsubscriptions: readonly string[];
    }
  | { readonly cmd: "puback" | "pubrec" | "pubrel" | "pubcomp"; readonly messageId: number }
  | { readonly cmd: "pingreq" | "disconnect" }
  | { readonly cmd: "auth" | "connack" | "suback" | "unsuback" | "pingresp" };

/** A message inside aedes: a PUBLISH, a will, or one of its own. */
export interface EnginePacket {
  readonly cmd?: "publish";
  readonly topic: string;
  readonly payload: Buffer | string;
  readonly qos?: 0 | 1 | 2;
  readonly retain?: boolean;
  readonly clientId?: string;
  /** The publisher's user name, in a will that comes from the store. */
  readonly username?: string | null;
}

/** aedes's decoder: `parse` takes what was read, `packet` fires for each complete packet. */
export interface EngineParser {
  parse(chunk: Buffer): number;
  listeners(event: "packet"): ((this: EngineParser, packet: WirePacket) => void)[];
  removeAllListeners(event: "packet"): void;
  on(event: "packet", listener: (packet: WirePacket) => void): void;
}

/** A connection inside aedes. */
export interface EngineClient extends EventEmitter {
  /** Null until a CONNECT was accepted for decoding. */
  readonly id: string;
  readonly clean: boolean;
  readonly closed: boolean;
  readonly conn: Duplex;
  readonly will: object | null;
  /** True once a DISCONNECT arrived. */
  readonly _disconnected: boolean;
  readonly _parser: EngineParser;
  _keepaliveTimer: NodeJS.Timeout | null;
  _keepaliveInterval: number;
  subscribe(subscriptions: WireSubscription[], done: Done): void;
  unsubscribe(filters: string[], done: Done): void;
  close(done?: () => void): void;
}

export type Done = (err?: Error | null) => void;

export interface EngineOptions {
  readonly concurrency: number;
  readonly connectTimeout: number;
  readonly drainTimeout: number;
  readonly queueLimit: number;
  readonly maxClientsIdLength: number;
  readonly maxInflightInbound: number;
  readonly maxTopicLevels: number;
}

/** aedes 1.2.0 as this folder uses it; its own typings leave half of it out. */
export interface Engine extends EventEmitter {
  readonly id: string;
  readonly opts: { persistence?: object };
  /** Connected clients; without a prototype, since the keys are client ids. */
  readonly clients: Readonly<Record<string, EngineClient | undefined>>;
  readonly mq: { readonly _matcher: { match(topic: string): readonly unknown[] } };
  connectedClients: number;
  /** Number of the last message, unique with `id`. */
  counter: number;
  handle: (stream: Duplex) => EngineClient;
  authenticate: (
    client: EngineClient,
    username: string | undefined,
    password: Buffer | undefined,
    done: (err: (Error & { returnCode?: number }) | null, isAccepted: boolean) => void,
  ) => void;
  authorizePublish: (client: EngineClient | null, packet: EnginePacket, done: Done) => void;
  authorizeSubscribe: (
    client: EngineClient,
    subscription: WireSubscription,
    done: (err: Error | null, granted: WireSubscription | null) => void,
  ) => void;
  authorizeForward: (client: EngineClient, packet: EnginePacket) => EnginePacket | null;
  listen(): Promise<void>;
  publish(packet: EnginePacket, client: EngineClient | null | Done, done?: Done): void;
  registerClient(client: EngineClient): void;
  unregisterClient(client: EngineClient): void;
  close(done: () => void): void;
}

type EngineClass = new (options: EngineOptions) => Engine;

/** The edge between aedes's typings and ours. */
export const Engine: EngineClass = Aedes as unknown as EngineClass;
