import { expect } from "vitest";
import { until } from "../helpers/until.ts";
import { Ledger, numberOf, type Verdict } from "./ledger.ts";
import { SessionClient } from "./session-client.ts";
import type { QoS, Version } from "./wire.ts";

/** Every topic of the fleet. */
const FILTER = "fleet/#";

interface Publisher {
  readonly client: SessionClient;
  readonly topic: string;
  readonly qos: QoS;
  readonly retain: boolean;
}

const PUBLISHERS: readonly (readonly [Version, QoS, "state" | "event"])[] = [
  [4, 1, "event"],
  [4, 2, "event"],
  [5, 1, "event"],
  [5, 2, "event"],
  [4, 1, "state"],
  [5, 2, "state"],
];

/** Persistent receivers, with the QoS they subscribe with; those away come only now and then. */
const RECEIVERS = [
  { name: "online4", version: 4, qos: 2, isAway: false, takesQoS2At: "publish" },
  { name: "online5", version: 5, qos: 2, isAway: false, takesQoS2At: "pubrel" },
  { name: "slow5", version: 5, qos: 2, isAway: false, takesQoS2At: "pubrel", answerAfterMs: 20 },
  { name: "least4", version: 4, qos: 1, isAway: false },
  { name: "away4", version: 4, qos: 2, isAway: true, takesQoS2At: "pubrel" },
  { name: "away5", version: 5, qos: 1, isAway: true },
] as const;

/**
 * Publishers and receivers that keep a gateway busy over all its lives, and the ledger of what they
 * see: QoS 1 and 2, MQTT 3.1.1 and 5, retained states, receivers that are here and that are away.
 */
export class Fleet {
  readonly ledger = new Ledger();
  readonly #publishers: Publisher[];
  readonly #receivers: { client: SessionClient; isAway: boolean; qos: QoS }[];
  #timer: NodeJS.Timeout | null = null;

  constructor() {
    this.#publishers = PUBLISHERS.map(([version, qos, kind]) => ({
      topic: `fleet/${version}/${qos}/${kind}`,
      qos,
      retain: kind === "state",
      client: new SessionClient({
        clientId: `publisher-${version}-${qos}-${kind}`,
        ...{ version, isPersistent: true },
      }),
    }));
    this.#receivers = RECEIVERS.map(({ name, version, qos, isAway, ...more }) => {
      const record = this.ledger.receiver(name, qos);
      const client = new SessionClient({
        ...{ clientId: name, version, isPersistent: true, ...more },
        onMessage: ({ topic, payload }) => record.received(topic, payload),
      });
      return { client, isAway, qos };
    });
  }

  get #clients(): SessionClient[] {
    return [...this.#publishers, ...this.#receivers].map(({ client }) => client);
  }

  /** Connects everybody once and subscribes; the receivers that are away leave again. */
  async settleIn(tcpPort: number): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.connect(tcpPort)));
    for (const { client, isAway, qos } of this.#receivers) {
      expect(await client.subscribe([FILTER], qos)).toEqual([qos]);
      if (isAway) await client.end();
    }
  }

  /**
   * Connects everybody who is not, those that are away only if `withAway`. A gateway that dies
   * meanwhile is no failure here.
   */
  async connect(tcpPort: number, withAway: boolean): Promise<void> {
    const present = this.#receivers.filter(({ isAway }) => withAway || !isAway);
    const clients = [...this.#publishers, ...present].map(({ client }) => client);
    const missing = clients.filter(({ isConnected }) => !isConnected);
    await Promise.allSettled(missing.map((client) => client.connect(tcpPort)));
  }

  /** Publishes until `pause`: every 10 ms from each publisher whose window is not full. */
  resume(): void {
    this.#timer ??= setInterval(() => {
      for (const publisher of this.#publishers) this.#publish(publisher);
    }, 10);
  }

  pause(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Breaks all connections, as the death of the gateway does. */
  drop(): void {
    for (const client of this.#clients) client.drop();
  }

  /** Waits until `count` more messages have been acknowledged. */
  async progress(count: number): Promise<void> {
    const target = this.ledger.acknowledgements + count;
    await until(`${count} more acknowledgements`, () => this.ledger.acknowledgements >= target);
  }

  /** Waits until nothing is unacknowledged or owed, or the deadline is over, and judges. */
  async settle(tcpPort: number, deadlineMs = 15_000): Promise<Verdict> {
    this.pause();
    await this.connect(tcpPort, true);
    // What is missing then is in the verdict, which says more than the deadline does.
    const isSettled = () => this.ledger.pending === 0 && this.ledger.owed === 0;
    await until("everything to arrive", isSettled, deadlineMs).catch(() => {});
    return this.ledger.verdict();
  }

  /** Connections that did not find the session which had been confirmed. */
  get lostSessions(): number {
    return this.#clients.reduce((sum, { lostSessions }) => sum + lostSessions, 0);
  }

  /** Connections that the gateway, or its death, ended. */
  get closedConnections(): number {
    return this.#clients.reduce((sum, { closedConnections }) => sum + closedConnections, 0);
  }

  /** What a new subscriber is told of the retained states; each is as new as what was acknowledged. */
  async expectRetained(tcpPort: number): Promise<void> {
    const atLeast = new Map<string, number>();
    for (const { topic, lastAcknowledged } of this.ledger.topics()) {
      if (topic.endsWith("/state")) atLeast.set(topic, lastAcknowledged);
    }
    const found = new Map<string, number>();
    const reader = new SessionClient({
      clientId: "reader",
      onMessage: ({ topic, payload, retain }) => {
        if (retain) found.set(topic, numberOf(payload));
      },
    });
    await reader.connect(tcpPort);
    await reader.subscribe(["fleet/+/+/state"], 1);
    const isKnown = ([topic, number]: [string, number]) =>
      number === 0 || (found.get(topic) ?? 0) >= number;
    const describe = () =>
      `retained states: acknowledged ${JSON.stringify([...atLeast])}, found ${JSON.stringify([...found])}`;
    await until("retained messages", () => [...atLeast].every(isKnown), 5000).catch((err) => {
      throw new Error(describe(), { cause: err });
    });
    await reader.end();
  }

  #publish({ client, topic, qos, retain }: Publisher): void {
    if (client.unsettled > 40) return;
    for (let n = 0; n < 2; n++) {
      const { number, payload } = this.ledger.next(topic, qos);
      client.publish(topic, payload, {
        ...{ qos, retain },
        onOutcome: ({ ok }) => {
          if (ok) this.ledger.acknowledged(topic, number);
          else this.ledger.refused(topic, number);
        },
      });
    }
  }
}

/** Everything acknowledged, nothing lost, in order, QoS 2 once, contents as sent. */
export function expectFaultless(verdict: Verdict): void {
  const { refused, pending, lost, disordered, duplicated, falsified } = verdict;
  expect({ refused, pending, lost, disordered, duplicated, falsified }).toEqual({
    ...{ refused: 0, pending: 0, lost: [], disordered: [], duplicated: [], falsified: [] },
  });
}
