import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Authenticator,
  type Authorizer,
  type Broker,
  createBroker,
} from "../../src/broker/index.ts";
import { defaultsOf } from "../../src/config/collections.ts";
import { type Config, SCHEMA } from "../../src/config/index.ts";
import { createLog } from "../../src/log/index.ts";
import { createStore, type Store } from "../../src/store/index.ts";
import { systemClock } from "../../src/time/index.ts";
import type { Address } from "./raw-client.ts";

/** What a test changes of the default configuration. */
export interface RigOptions {
  readonly mqtt?: Partial<Config["mqtt"]>;
  readonly msqLen?: number;
  readonly denyAction?: Authorizer["denyAction"];
  readonly authenticate?: Authenticator["authenticate"];
  readonly isAllowed?: Authorizer["authorize"];
  /** The store takes no message. */
  readonly isStoreFull?: boolean;
  /** Has the last word before the broker serves anybody. */
  readonly prepare?: (broker: Broker) => void;
}

/** A broker on a LevelDB store of its own behind a plain TCP server. */
export class Rig {
  readonly broker: Broker;
  readonly #store: Store;
  readonly #server: Server;
  readonly #dir: string;

  private constructor(broker: Broker, store: Store, server: Server, dir: string) {
    this.broker = broker;
    this.#store = store;
    this.#server = server;
    this.#dir = dir;
  }

  static async start(options: RigOptions = {}): Promise<Rig> {
    const dir = await mkdtemp(join(tmpdir(), "tidegate-conformance-"));
    const log = createLog({ level: "fatal" });
    const store = createStore({ log, clock: systemClock }, { path: join(dir, "store") });
    await store.start();
    const { authenticate, isAllowed, denyAction = "ignore", msqLen = 1000 } = options;
    const broker = createBroker(
      {
        log,
        clock: systemClock,
        store: options.isStoreFull === true ? full(store) : store,
        authenticator: { authenticate: authenticate ?? (async () => "accepted") },
        authorizer: { denyAction, authorize: isAllowed ?? (() => true) },
      },
      { mqtt: { ...defaultsOf(SCHEMA.mqtt), ...options.mqtt }, msqLen },
    );
    options.prepare?.(broker);
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
    return new Rig(broker, store, server, dir);
  }

  get address(): Address {
    const address: AddressInfo | string | null = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the server is not open");
    return { host: "127.0.0.1", tcpPort: address.port };
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    await this.broker.stop();
    await this.#store.stop();
    await closed;
    await rm(this.#dir, { recursive: true });
  }
}

/** The store with no room for messages. */
function full(store: Store): Store {
  return new Proxy(store, {
    get(target, key) {
      if (key === "admit") return () => "STORE_FULL";
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
