import { connect, type IClientOptions, type MqttClient, type Packet } from "mqtt";
import { type Ledger, type Sent, SessionLedger } from "./ledger.ts";
import { idOf, payloadOf } from "./payload.ts";

/** Longer than anything here takes, short enough to see what hangs. */
const ANSWER_LIMIT_MS = 10_000;

const now = () => process.hrtime.bigint();

/** How a client connects. */
export interface ClientSetup {
  readonly clientId: string;
  readonly tcpPort: number;
  readonly protocolVersion: 4 | 5;
  /** Whether its session stays. */
  readonly isPersistent: boolean;
}

/** A client that writes into the ledger what it does and what it is told. */
export class LedgerClient {
  readonly #ledger: Ledger;
  readonly #setup: ClientSetup;
  readonly #client: MqttClient;
  readonly #closed: Promise<void>;
  readonly #bySent = new Map<number, Sent>();
  readonly #incoming = new Map<number, string>();
  #session: SessionLedger | null = null;
  /** Reason codes of refused messages. */
  readonly refusals: number[] = [];
  /** Publishing that is not over yet. */
  readonly #underWay = new Set<Promise<void>>();

  /** Connects. Rejects when the gateway refuses. */
  static async connect(ledger: Ledger, setup: ClientSetup): Promise<LedgerClient> {
    const { clientId, isPersistent } = setup;
    const old = ledger.sessions.findLast((session) => session.clientId === clientId);
    if (old !== undefined && old.endAskedNs === null && !isPersistent) old.endAskedNs = now();
    const self = new LedgerClient(ledger, setup);
    try {
      await self.#connection();
    } catch (err) {
      self.#client.end(true);
      throw err;
    }
    self.#client.on("error", () => {});
    return self;
  }

  private constructor(ledger: Ledger, setup: ClientSetup) {
    this.#ledger = ledger;
    this.#setup = setup;
    const { tcpPort, clientId, protocolVersion, isPersistent } = setup;
    const options: IClientOptions = {
      host: "127.0.0.1",
      port: tcpPort,
      clientId,
      protocolVersion,
      clean: !isPersistent,
      reconnectPeriod: 0,
      keepalive: 0,
    };
    if (protocolVersion === 5 && isPersistent) {
      options.properties = { sessionExpiryInterval: 0xffff_ffff };
    }
    this.#client = connect(options);
    this.#closed = new Promise((resolve) => this.#client.once("close", () => resolve()));
    this.#client.on("packetreceive", (packet) => this.#receive(packet));
    this.#client.on("packetsend", (packet) => this.#send(packet));
  }

  #connection(): Promise<void> {
    return new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error("no CONNACK")), ANSWER_LIMIT_MS).unref();
      this.#client.once("connect", () => resolve());
      this.#client.once("error", reject);
      this.#client.once("close", () => reject(new Error("closed before CONNACK")));
    });
  }

  get isConnected(): boolean {
    return this.#client.connected;
  }

  /**
   * Publishes without waiting. `sizeBytes` 0 with retain removes the retained message.
   * @returns resolves when it is over, well or not
   */
  publish(
    id: string,
    topic: string,
    options: { readonly qos: 0 | 1 | 2; readonly retain: boolean; readonly sizeBytes: number },
  ): Promise<void> {
    const { qos, retain, sizeBytes } = options;
    const isEmpty = retain && sizeBytes === 0;
    const payload = isEmpty ? Buffer.alloc(0) : payloadOf(id, sizeBytes);
    const begin = (packet: Packet) => {
      if (packet.cmd !== "publish" || packet.payload !== payload) return;
      this.#client.off("packetsend", begin);
      const sent: Sent = {
        ...{ id, topic, qos, retain, isEmpty, sentNs: now() },
        ...{ safeNs: null, refusedNs: null, releasedNs: null, completeNs: null },
        ...{ packetId: packet.messageId ?? 0, publisher: this.#setup.clientId },
      };
      this.#ledger.sent.push(sent);
      this.#bySent.set(sent.packetId, sent);
    };
    this.#client.on("packetsend", begin);
    // MQTT.js keeps what was not acknowledged for a connection that never comes.
    const over = Promise.race([
      this.#closed,
      this.#client.publishAsync(topic, payload, { qos, retain }).then(
        () => {},
        () => {},
      ),
    ]);
    this.#underWay.add(over);
    void over.then(() => this.#underWay.delete(over));
    return over;
  }

  /** Resolves when everything that was published is acknowledged or has failed. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  /** Subscribes; resolves when that is confirmed, rejects when it is refused. */
  async subscribe(filter: string, qos: 1 | 2): Promise<void> {
    const subscription = {
      ...{ filter, askedNs: now(), confirmedNs: null as bigint | null },
      ...{ endAskedNs: null, endConfirmedNs: null },
    };
    this.#session?.subscriptions.push(subscription);
    this.#client.subscribe(filter, { qos }, () => {});
    subscription.confirmedNs = await this.#answer("suback");
  }

  async unsubscribe(filter: string): Promise<void> {
    const subscription = this.#session?.subscriptions.findLast((each) => each.filter === filter);
    if (subscription !== undefined) subscription.endAskedNs = now();
    this.#client.unsubscribe(filter, () => {});
    const confirmedNs = await this.#answer("unsuback");
    if (subscription !== undefined) subscription.endConfirmedNs = confirmedNs;
  }

  /** Leaves in order, when everything it published is over; the session stays when it is persistent. */
  async leave(): Promise<void> {
    await this.settled();
    await this.#client.endAsync();
  }

  /** Breaks the connection. */
  drop(): void {
    this.#client.end(true);
  }

  /** The time of the next packet of a kind; rejects when it says no, or does not come. */
  #answer(command: "suback" | "unsuback"): Promise<bigint> {
    return new Promise((resolve, reject) => {
      const fail = (reason: string) => {
        settle();
        reject(new Error(`${this.#setup.clientId}: ${reason}`));
      };
      const look = (packet: Packet) => {
        if (packet.cmd !== command) return;
        const codes = "granted" in packet && Array.isArray(packet.granted) ? packet.granted : [];
        if (codes.some((code) => Number(code) >= 0x80)) return fail(`${command} ${codes}`);
        settle();
        resolve(now());
      };
      const onClose = () => fail(`closed before ${command}`);
      const timer = setTimeout(
        () => fail(`no ${command} in ${ANSWER_LIMIT_MS} ms`),
        ANSWER_LIMIT_MS,
      );
      const settle = () => {
        clearTimeout(timer);
        this.#client.off("packetreceive", look);
        this.#client.off("close", onClose);
      };
      this.#client.on("packetreceive", look);
      this.#client.once("close", onClose);
    });
  }

  #receive(packet: Packet): void {
    const atNs = now();
    const sent = packet.messageId === undefined ? undefined : this.#bySent.get(packet.messageId);
    if (packet.cmd === "connack") this.#connected(atNs);
    else if (packet.cmd === "puback" || packet.cmd === "pubrec") {
      if (sent === undefined) return;
      const code = packet.reasonCode ?? 0;
      if (code < 0x80) sent.safeNs ??= atNs;
      else {
        sent.refusedNs = atNs;
        this.refusals.push(code);
      }
    } else if (packet.cmd === "pubcomp") {
      if (sent !== undefined) sent.completeNs = atNs;
    } else if (packet.cmd === "publish") {
      const id = Buffer.isBuffer(packet.payload) ? idOf(packet.payload) : null;
      if (id === null) return;
      if (!this.#session?.received.has(id)) this.#session?.received.set(id, atNs);
      if (packet.messageId !== undefined) this.#incoming.set(packet.messageId, id);
    } else if (packet.cmd === "pubrel") {
      const id = this.#incoming.get(packet.messageId ?? 0);
      if (id !== undefined) this.#session?.released.set(id, atNs);
    }
  }

  #send(packet: Packet): void {
    if (packet.cmd !== "pubrel") return;
    const sent = this.#bySent.get(packet.messageId ?? 0);
    if (sent !== undefined) sent.releasedNs = now();
  }

  #connected(atNs: bigint): void {
    const { clientId, isPersistent } = this.#setup;
    const { sessions } = this.#ledger;
    const old = sessions.findLast((session) => session.clientId === clientId);
    if (!isPersistent) {
      if (old !== undefined) old.endConfirmedNs ??= atNs;
      return;
    }
    if (old !== undefined && old.endAskedNs === null) {
      this.#session = old;
      return;
    }
    this.#session = new SessionLedger(clientId, atNs);
    sessions.push(this.#session);
  }
}
