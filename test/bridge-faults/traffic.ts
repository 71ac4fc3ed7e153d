import { connectAsync, type MqttClient } from "mqtt";
import { onTestFinished } from "vitest";
import { until } from "../helpers/until.ts";

/** What a run came to. */
export interface Account {
  readonly sent: number;
  readonly acknowledged: number;
  readonly arrived: number;
  /** Acknowledged and never arrived. */
  readonly lost: readonly string[];
  /** First copies behind a later message of their topic. */
  readonly disordered: readonly string[];
  /** Further copies. */
  readonly duplicates: number;
}

/**
 * A publisher on the LAN and a receiver at the cloud. Messages are numbered by topic and never sent
 * twice by the publisher: what its connection took with it unacknowledged may arrive or not.
 */
export class Traffic {
  readonly #topics: readonly string[];
  readonly #acknowledged = new Map<string, Set<number>>();
  readonly #arrived = new Map<string, number[]>();
  #sent = 0;
  #isOver = false;
  #publishing: Promise<void> = Promise.resolve();

  constructor(topics: readonly string[]) {
    this.#topics = topics;
    for (const topic of topics) {
      this.#acknowledged.set(topic, new Set());
      this.#arrived.set(topic, []);
    }
  }

  get arrivals(): number {
    return [...this.#arrived.values()].reduce((sum, list) => sum + list.length, 0);
  }

  /** Subscribes at the cloud by a session that stays; connects again by itself. */
  async receive(tcpPort: () => number, prefix: string): Promise<void> {
    const client = await connectAsync(`mqtt://127.0.0.1:${tcpPort()}`, {
      clientId: "receiver",
      clean: false,
      reconnectPeriod: 100,
    });
    onTestFinished(() => client.endAsync(true));
    client.on("error", () => {});
    client.on("message", (topic, payload) => {
      this.#arrived.get(topic.slice(prefix.length))?.push(Number(payload.toString()));
    });
    await client.subscribeAsync(`${prefix}#`, { qos: 1 });
  }

  /** Publishes with QoS 1 until `stop`, one message after the other on each topic. */
  start(tcpPort: () => number, pauseMs: number): void {
    const lanes = this.#topics.map((topic) => this.#lane(topic, tcpPort, pauseMs));
    this.#publishing = Promise.all(lanes).then(() => {});
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#publishing;
  }

  /** Waits until everything acknowledged has arrived, or `deadlineMs`, and draws up the account. */
  async account(deadlineMs: number): Promise<Account> {
    const isComplete = () => this.#lost().length === 0;
    await until("the rest of the messages", isComplete, deadlineMs).catch(() => {});
    const disordered: string[] = [];
    let duplicates = 0;
    for (const [topic, numbers] of this.#arrived) {
      const seen = new Set<number>();
      let last = 0;
      for (const number of numbers) {
        if (seen.has(number)) {
          duplicates += 1;
          continue;
        }
        seen.add(number);
        if (number < last) disordered.push(`${topic} ${number} behind ${last}`);
        last = Math.max(last, number);
      }
    }
    return {
      sent: this.#sent,
      acknowledged: [...this.#acknowledged.values()].reduce((sum, set) => sum + set.size, 0),
      arrived: this.arrivals,
      lost: this.#lost(),
      disordered,
      duplicates,
    };
  }

  #lost(): string[] {
    return [...this.#acknowledged].flatMap(([topic, numbers]) => {
      const arrived = new Set(this.#arrived.get(topic));
      return [...numbers].filter((n) => !arrived.has(n)).map((n) => `${topic} ${n}`);
    });
  }

  async #lane(topic: string, tcpPort: () => number, pauseMs: number): Promise<void> {
    let client = await this.#connect(tcpPort);
    for (let number = 1; !this.#isOver; number++) {
      client ??= await this.#connect(tcpPort);
      if (client === null) return;
      this.#sent += 1;
      try {
        await acknowledged(client, topic, String(number));
        this.#acknowledged.get(topic)?.add(number);
      } catch {
        // Not acknowledged: a new connection goes on with the next number.
        client.end(true);
        client = null;
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    client?.end(true);
  }

  async #connect(tcpPort: () => number): Promise<MqttClient | null> {
    while (!this.#isOver) {
      try {
        // Without retries: else nobody is told of a gateway that dies before its CONNACK.
        const options = { reconnectPeriod: 0, connectTimeout: 2000 };
        const client = await connectAsync(`mqtt://127.0.0.1:${tcpPort()}`, options, false);
        client.on("error", () => {});
        onTestFinished(() => {
          client.end(true);
        });
        return client;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    return null;
  }
}

function acknowledged(client: MqttClient, topic: string, payload: string): Promise<void> {
  return new Promise((resolve, reject) => {
    if (!client.connected) {
      reject(new Error("the connection has ended"));
      return;
    }
    client.once("close", reject);
    client.publish(topic, payload, { qos: 1 }, (err) => {
      client.off("close", reject);
      if (err) reject(err);
      else resolve();
    });
  });
}
