import { onTestFinished } from "vitest";
import { FlakyRelay } from "../../src/bridge/flaky-relay.testing.ts";
import { startMosquitto } from "../helpers/mosquitto.ts";
import { until } from "../helpers/until.ts";
import { FAULT_CONFIG } from "./gateway.ts";
import { Ledger, type Verdict } from "./ledger.ts";
import { SessionClient } from "./session-client.ts";
import type { QoS, Version } from "./wire.ts";

/** Everything in here is forwarded. */
const FILTER = "up/#";

/** A cloud that can be away: Debian's mosquitto behind a relay, and a client there that gets everything. */
export class Cloud {
  readonly ledger = new Ledger();
  readonly relay: FlakyRelay;
  readonly #collector: SessionClient;
  /** Messages that came, repetitions among them. */
  came = 0;
  /** Hears of each as it comes. */
  onArrival: (topic: string) => void = () => {};

  private constructor(relay: FlakyRelay) {
    this.relay = relay;
    const record = this.ledger.receiver("cloud", 2);
    this.#collector = new SessionClient({
      clientId: "collector",
      isPersistent: true,
      onMessage: ({ topic, payload }) => {
        this.came++;
        this.onArrival(topic);
        record.received(topic, payload);
      },
    });
  }

  static async start(): Promise<Cloud> {
    const lines = ["max_queued_messages 0", "max_inflight_messages 0"];
    const { tcpPort } = await startMosquitto({ lines });
    const relay = await FlakyRelay.start(tcpPort);
    onTestFinished(() => relay[Symbol.asyncDispose]());
    const cloud = new Cloud(relay);
    await cloud.#collector.connect(tcpPort);
    await cloud.#collector.subscribe([FILTER], 2);
    onTestFinished(() => cloud.#collector.drop());
    return cloud;
  }

  /** The gateway's configuration: a bridge to this cloud. */
  config(more = ""): string {
    const server = `mqtt://127.0.0.1:${this.relay.tcpPort}`;
    return `${FAULT_CONFIG}
bridges:
  cloud: {server: "${server}", proto_ver: 5, backoff_max_s: 1, forwards: [{local_topic: "${FILTER}"}]${more}}
`;
  }

  goAway(): void {
    this.relay.isRefusing = true;
    this.relay.breakAll(false);
  }

  comeBack(): void {
    this.relay.isRefusing = false;
  }
}

/** A device that numbers what it publishes. */
export class Device {
  readonly client: SessionClient;
  readonly topic: string;
  readonly #ledger: Ledger;
  readonly #qos: QoS;
  #timer: NodeJS.Timeout | null = null;

  constructor(
    ledger: Ledger,
    name: string,
    { version = 4 as Version, qos = 1 as QoS, window = 20 },
  ) {
    this.#ledger = ledger;
    this.#qos = qos;
    this.topic = `up/${name}`;
    this.client = new SessionClient({ clientId: name, version, isPersistent: true, window });
    onTestFinished(() => {
      this.pause();
      this.client.drop();
    });
  }

  /** Publishes a few every 10 ms until `pause`. */
  resume(): void {
    this.#timer ??= setInterval(() => {
      if (this.client.unsettled <= 40) for (let n = 0; n < 3; n++) this.publish();
    }, 10);
  }

  pause(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  publish(): void {
    const { number, payload } = this.#ledger.next(this.topic, this.#qos);
    this.client.publish(this.topic, payload, {
      qos: this.#qos,
      onOutcome: ({ ok }) => {
        if (ok) this.#ledger.acknowledged(this.topic, number);
        else this.#ledger.refused(this.topic, number);
      },
    });
  }

  /** Connects if it is not; a gateway that dies meanwhile is no failure here. */
  async connect(tcpPort: number): Promise<void> {
    if (!this.client.isConnected) await this.client.connect(tcpPort).catch(() => {});
  }
}

/** Waits until nothing is unacknowledged or owed, or the deadline is over, and judges. */
export async function settled(ledger: Ledger, deadlineMs: number): Promise<Verdict> {
  const isSettled = () => ledger.pending === 0 && ledger.owed === 0;
  // What is missing then is in the verdict, which says more than the deadline does.
  await until("everything to arrive", isSettled, deadlineMs).catch(() => {});
  return ledger.verdict();
}
