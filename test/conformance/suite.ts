import assert from "node:assert/strict";
import { afterAll, beforeAll, test, vi } from "vitest";
import type { Broker } from "../../src/broker/index.ts";
import type { IncomingOf } from "./incoming.ts";
import type { ConnectFields } from "./packets.ts";
import { type Address, RawClient } from "./raw-client.ts";
import { Rig, type RigOptions } from "./rig.ts";
import { parseRuleName, testName } from "./rule-name.ts";
import type { Properties, Version } from "./wire.ts";

/** A server at `host:port` to try the suite on in place of the gateway's broker. */
const OTHER_SERVER = process.env["TIDEGATE_CONFORMANCE_SERVER"];

export interface SessionFields extends ConnectFields {
  /** The session outlives its connection, and one that is there is taken up again. */
  readonly keep?: boolean;
}

/** What a rule's body works with: names of its own on a server it may share with others. */
export interface Scene {
  readonly version: Version;
  readonly isV5: boolean;
  /** A client id nobody else uses. */
  id(name: string): string;
  /** A topic nobody else uses; every other level and wildcard can be put behind it. */
  topic(name?: string): string;
  /** A connection on which nothing has been sent; answers are read by the rules of `version`. */
  open(version?: Version): Promise<RawClient>;
  /** Lets an interval go by that the protocol counts in seconds. */
  elapse(ms: number): Promise<void>;
  /** A connection whose CONNECT was accepted. */
  connect(fields?: SessionFields): Promise<RawClient>;
  /** As `connect`, with the CONNACK. */
  connected(fields?: SessionFields): Promise<{ client: RawClient; connack: IncomingOf<"connack"> }>;
  /** The broker of a rule that has its own. */
  readonly broker: Broker;
}

type Body = (scene: Scene) => Promise<void>;

interface Rule {
  (name: string, body: Body): void;
  (name: string, options: RigOptions, body: Body): void;
}

let scenes = 0;

/**
 * Begins a file of rules: starts one broker for them all and answers the function that adds one. A
 * rule runs once for each version its name has statements of. A rule with options of its own gets a
 * broker of its own.
 */
export function suite(): Rule {
  // Most rules wait for packets, some for whole seconds: they wait together.
  vi.setConfig({ maxConcurrency: 20 });
  let shared: Rig | null = null;
  beforeAll(async () => {
    if (OTHER_SERVER === undefined) shared = await Rig.start();
  });
  afterAll(async () => {
    await shared?.close();
  });

  const run = async (version: Version, options: RigOptions | null, body: Body): Promise<void> => {
    const own = options === null ? null : await Rig.start(options);
    const rig = own ?? shared;
    const scene = new RigScene(version, rig, rig?.address ?? otherAddress());
    try {
      await body(scene);
    } catch (err) {
      throw scene.explained(err);
    } finally {
      await scene.close();
      await own?.close();
    }
  };

  return (name: string, second: RigOptions | Body, third?: Body) => {
    const options = typeof second === "function" ? null : second;
    const body = typeof second === "function" ? second : third;
    assert(body !== undefined);
    const { sentence, statements } = parseRuleName(name);
    for (const [version, ids] of statements) {
      const add = options !== null && OTHER_SERVER !== undefined ? test.skip : test.concurrent;
      add(testName(sentence, version, ids), () => run(version, options, body));
    }
  };
}

function otherAddress(): Address {
  const [host = "", port] = (OTHER_SERVER ?? "").split(":");
  return { host, tcpPort: Number(port) };
}

class RigScene implements Scene {
  readonly version: Version;
  readonly #prefix: string;
  readonly #rig: Rig | null;
  readonly #address: Address;
  readonly #clients: RawClient[] = [];

  constructor(version: Version, rig: Rig | null, address: Address) {
    this.version = version;
    this.#rig = rig;
    this.#address = address;
    this.#prefix = `${process.pid}x${scenes++}`;
  }

  get isV5(): boolean {
    return this.version === "5.0";
  }

  get broker(): Broker {
    assert(this.#rig !== null, "only the gateway's own broker can be looked into");
    return this.#rig.broker;
  }

  id(name: string): string {
    return `${this.#prefix}${name}`;
  }

  topic(name = "t"): string {
    return `c${this.#prefix}/${name}`;
  }

  async elapse(ms: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, ms));
  }

  async open(version: Version = this.version): Promise<RawClient> {
    const client = await RawClient.open(this.#address, version);
    this.#clients.push(client);
    return client;
  }

  async connect(fields: SessionFields = {}): Promise<RawClient> {
    return (await this.connected(fields)).client;
  }

  async connected(fields: SessionFields = {}) {
    const client = await this.open();
    const { keep = false, ...rest } = fields;
    const expiry: Properties = keep && this.isV5 ? { sessionExpiryInterval: 3600 } : {};
    const connack = await client.connect({
      clientId: this.id(`anonymous${this.#clients.length}`),
      cleanStart: !keep,
      ...rest,
      properties: { ...expiry, ...rest.properties },
    });
    assert.equal(connack.code, 0, "the CONNECT is accepted");
    return { client, connack };
  }

  /** The failure with everything that was sent and received. */
  explained(err: unknown): Error {
    const message = err instanceof Error ? err.message : String(err);
    const lines = this.#clients.flatMap((client, index) => [
      `connection ${index + 1} ${client.clientId}`,
      ...client.transcript.map((line) => `  ${line}`),
    ]);
    return new Error([message, ...lines].join("\n"), { cause: err });
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.drop()));
  }
}
