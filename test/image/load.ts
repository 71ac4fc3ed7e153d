import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { expect } from "vitest";
import { Ledger, type Receiver } from "../faults/ledger.ts";
import { until } from "../helpers/until.ts";

const PUBLISHERS = 4;

/** Fewer than a session holds (`msq_len` 2,048), so that nothing may be dropped. */
const MAX_WAITING = 1500;

/** Quiet for so long, and all there is has come. */
const QUIET_MS = 2000;

const DRAIN_MS = 120_000;

/**
 * What devices publish with QoS 1 while their reader is away, and what the reader finds. Everything
 * the gateway has acknowledged must be there, whatever happened to its power.
 */
export class Load {
  readonly ledger = new Ledger();
  readonly #credentials: IClientOptions;
  readonly #receiver: Receiver;
  readonly #clients: MqttClient[] = [];
  #waiting = 0;
  #round = 0;

  constructor(credentials: Pick<IClientOptions, "username" | "password">) {
    this.#credentials = {
      ...credentials,
      host: "127.0.0.1",
      reconnectPeriod: 0,
      connectTimeout: 60_000,
    };
    this.#receiver = this.ledger.receiver("reader", 1);
  }

  /** Makes the reader's session, which outlives its connection. */
  async subscribe(tcpPort: number): Promise<void> {
    const reader = await this.#reader(tcpPort);
    await reader.subscribeAsync("load/#", { qos: 1 });
    await reader.endAsync();
  }

  /** Publishes until the connections end or `stop` is called. */
  async start(tcpPort: number): Promise<void> {
    this.#round++;
    for (let number = 1; number <= PUBLISHERS; number++) {
      const client = await connectAsync({
        ...this.#credentials,
        port: tcpPort,
        clientId: `publisher-${number}`,
      });
      client.on("error", () => {});
      this.#clients.push(client);
      // A topic of this round's own: what was on its way when the power went is never sent again.
      void this.#publish(client, `load/${this.#round}/${number}`);
    }
  }

  stop(): void {
    for (const client of this.#clients.splice(0)) client.end(true);
  }

  /** Reads all that waits and compares it with what was acknowledged. */
  async check(tcpPort: number): Promise<void> {
    const reader = await this.#reader(tcpPort);
    let newestMs = performance.now();
    reader.on("message", (topic, payload) => {
      newestMs = performance.now();
      this.#receiver.received(topic, payload);
    });
    await until(
      "the reader to have everything",
      () => this.ledger.owed === 0 && performance.now() - newestMs > QUIET_MS,
      DRAIN_MS,
    ).catch(() => {});
    await reader.endAsync();
    this.#waiting = 0;
    const { lost, disordered, falsified } = this.ledger.verdict();
    expect({ lost, disordered, falsified }).toEqual({ lost: [], disordered: [], falsified: [] });
  }

  async #reader(tcpPort: number): Promise<MqttClient> {
    const client = await connectAsync({
      ...this.#credentials,
      port: tcpPort,
      clientId: "reader",
      clean: false,
    });
    client.on("error", () => {});
    return client;
  }

  async #publish(client: MqttClient, topic: string): Promise<void> {
    while (client.connected && this.#waiting < MAX_WAITING) {
      this.#waiting++;
      const { number, payload } = this.ledger.next(topic, 1);
      try {
        await client.publishAsync(topic, payload, { qos: 1 });
      } catch {
        // Not acknowledged: it may be there or not.
        return;
      }
      this.ledger.acknowledged(topic, number);
    }
  }
}
