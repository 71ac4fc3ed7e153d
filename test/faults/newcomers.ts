import { expect, onTestFinished } from "vitest";
import { until } from "../helpers/until.ts";
import { clientsOf } from "./api.ts";
import type { Life } from "./gateway.ts";
import type { Random } from "./random.ts";
import { SessionClient } from "./session-client.ts";

/** Sessions in hand at once. */
const MOST = 4;

/**
 * Persistent sessions that begin and end while a gateway is about to die: what SUBACK or CONNACK
 * confirmed holds in the next life.
 */
export class Newcomers {
  readonly #random: Random;
  #count = 0;
  /** With a subscription that was confirmed. */
  readonly #settled: SessionClient[] = [];
  /** Ended, and the end was confirmed. */
  readonly #gone = new Set<string>();
  readonly #heard = new Set<string>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** One comes, and now and then one leaves for good, until the gateway dies in between. */
  async comeAndGo(tcpPort: number): Promise<void> {
    try {
      if (this.#settled.length >= MOST || this.#random.chance(0.3)) await this.#leave(tcpPort);
      await this.#come(tcpPort);
    } catch {
      // The gateway died before it had confirmed: either state is right.
    }
  }

  async expectConfirmed({ ports }: Life): Promise<void> {
    const known = await clientsOf(ports.http);
    expect([...this.#gone].filter((clientId) => known.has(clientId))).toEqual([]);
    const source = new SessionClient({ clientId: "newcomers-source" });
    await source.connect(ports.tcp);
    for (const client of this.#settled) {
      const { clientId } = client.options;
      expect([clientId, await client.connect(ports.tcp)]).toEqual([clientId, true]);
      this.#heard.delete(clientId);
      await source.published(clientId, Buffer.from("are you there?"), { qos: 1 });
      await until(`${clientId} to hear its topic`, () => this.#heard.has(clientId), 5000);
      client.drop();
    }
    await source.end();
  }

  async #come(tcpPort: number): Promise<void> {
    const clientId = `newcomer-${this.#count++}`;
    const client = new SessionClient({
      ...{ clientId, version: this.#random.pick([4, 5]), isPersistent: true },
      onMessage: () => this.#heard.add(clientId),
    });
    onTestFinished(() => client.drop());
    await client.connect(tcpPort);
    expect(await client.subscribe([clientId], 1)).toEqual([1]);
    this.#settled.push(client);
  }

  async #leave(tcpPort: number): Promise<void> {
    const leaving = this.#settled.shift();
    if (leaving === undefined) return;
    const { clientId } = leaving.options;
    const last = new SessionClient({ clientId });
    await last.connect(tcpPort);
    await last.end();
    this.#gone.add(clientId);
  }
}
