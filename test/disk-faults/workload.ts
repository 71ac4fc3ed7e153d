import { LedgerClient } from "./clients.ts";
import type { Ledger } from "./ledger.ts";
import type { Random } from "./random.ts";

const LINES = ["t/0", "t/1", "t/2", "t/3"];

const SESSIONS = [
  { clientId: "away", protocolVersion: 4, filter: "t/#", qos: 1 },
  { clientId: "twice", protocolVersion: 5, filter: "t/#", qos: 2 },
  { clientId: "one", protocolVersion: 5, filter: "t/1", qos: 2 },
  { clientId: "ends", protocolVersion: 4, filter: "t/2", qos: 1 },
] as const;

/** LevelDB begins a new log at 4 MB; a packet has at most 1 MB. */
const LARGE_MESSAGES = 6;
const LARGE_BYTES = 900_000;

/**
 * The clients of one run of the gateway: publishers, one session that is always there, and some that
 * come and go. Their doings are decided by the seed and written into the ledger.
 */
export class Workers {
  readonly ledger: Ledger;
  readonly random: Random;
  readonly #tcpPort: number;
  readonly #publishers: LedgerClient[] = [];
  #online: LedgerClient | null = null;
  #versions = 0;
  #count: number;

  constructor(ledger: Ledger, tcpPort: number, random: Random) {
    this.ledger = ledger;
    this.#tcpPort = tcpPort;
    this.random = random;
    this.#count = ledger.sent.length;
  }

  connect(clientId: string, protocolVersion: 4 | 5, isPersistent: boolean): Promise<LedgerClient> {
    const tcpPort = this.#tcpPort;
    return LedgerClient.connect(this.ledger, { clientId, tcpPort, protocolVersion, isPersistent });
  }

  /** A message to a topic, mostly small, sometimes a retained one or the end of one. */
  #publishSomething(): void {
    const { random } = this;
    const publisher = random.pick(this.#publishers);
    const qos = random.pick([1, 1, 2] as const);
    const isRetained = random.chance(0.2);
    const topic = isRetained ? `r/${random.below(6)}` : random.pick(LINES);
    const sizeBytes =
      isRetained && random.chance(0.15) ? 0 : random.chance(0.1) ? 30_000 : 20 + random.below(1500);
    // Retained messages of one topic have one publisher, so that their order is known.
    const by = isRetained ? this.#publishers[0] : publisher;
    void by?.publish(`m${this.#count++}`, topic, { qos, retain: isRetained, sizeBytes });
  }

  /** Publishes so much at once that LevelDB begins a new log, and some more into that one. */
  async fillLog(): Promise<void> {
    const client = await this.connect("large", 5, false);
    const options = { qos: 1, retain: false, sizeBytes: LARGE_BYTES } as const;
    for (let i = 0; i < LARGE_MESSAGES; i++) {
      await client.publish(`m${this.#count++}`, "t/3", options);
      await client.publish(`m${this.#count++}`, "t/3", { ...options, sizeBytes: 100 });
    }
    await client.leave();
  }

  /** A session comes back, takes what it gets in some time, and goes, mostly in the middle of it. */
  async visit(clientId: string, protocolVersion: 4 | 5): Promise<void> {
    const { random } = this;
    const client = await this.connect(clientId, protocolVersion, true);
    const turn = random.below(10);
    if (turn < 3) await client.subscribe(`extra/${this.#versions++}`, 1);
    else if (turn < 5 && this.#versions > 0) {
      await client.unsubscribe(`extra/${random.below(this.#versions)}`);
    }
    if (random.chance(0.5)) await new Promise((resolve) => setTimeout(resolve, random.below(30)));
    if (random.chance(0.5)) client.drop();
    else await client.leave();
  }

  /** Connects who is not connected, and has the sessions made that are not there yet. */
  async begin(): Promise<void> {
    for (const { clientId, protocolVersion, filter, qos } of SESSIONS) {
      if (this.ledger.sessions.some((session) => session.clientId === clientId)) continue;
      const client = await this.connect(clientId, protocolVersion, true);
      await client.subscribe(filter, qos);
      await client.leave();
    }
    const [p5, p4] = this.#publishers;
    if (!p5?.isConnected) this.#publishers[0] = await this.connect("p5", 5, false);
    if (!p4?.isConnected) this.#publishers[1] = await this.connect("p4", 4, true);
    if (this.#online?.isConnected) return;
    this.#online = await this.connect("online", 5, true);
    await this.#online.subscribe("t/#", 2);
  }

  /** Publishes, and perhaps has a session come or end. */
  async round(): Promise<void> {
    const { random } = this;
    for (let i = 5 + random.below(20); i > 0; i--) this.#publishSomething();
    if (random.chance(0.35)) {
      const { clientId, protocolVersion } = random.pick(SESSIONS);
      await this.visit(clientId, protocolVersion);
    }
    if (random.chance(0.06)) {
      // CONNECT with Clean Session ends the old session; afterwards there is a new one.
      await (await this.connect("ends", 4, false)).leave();
      const again = await this.connect("ends", 4, true);
      await again.subscribe("t/2", 1);
      await again.leave();
    }
    if (random.chance(0.7)) await this.settled();
  }

  /** Resolves when everything published is acknowledged or refused, or its connection closed. */
  async settled(): Promise<void> {
    for (const publisher of this.#publishers) await publisher.settled();
  }

  async leave(): Promise<void> {
    for (const publisher of this.#publishers) await publisher.leave();
    await this.#online?.leave();
  }

  /** Breaks all connections. */
  drop(): void {
    for (const client of [...this.#publishers, this.#online]) client?.drop();
  }
}
