import { type Bus, type Topic, topic } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";

export interface AnnouncedLink {
  readonly clientId: string;
  readonly username: string | null;
  readonly protocolVersion: 3 | 4 | 5;
  readonly keepAliveS: number;
  readonly cleanStart: boolean;
}

/** Reason code of a lost link (MQTT 5.0 §2.4: server shutting down, as NanoMQ sends it). */
const LOSS = "8b";

/**
 * Publishes here that a link is up or lost, as the broker does for its clients, but retained, so
 * that who subscribes later sees the state: `$SYS/brokers/client_status/<clientid>` and, as older
 * NanoMQ versions name it, `$SYS/brokers/connected` and `/disconnected`. QoS 0, JSON, `ts` in ms.
 */
export class Announcer {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #link: AnnouncedLink;
  readonly #statusTopic: Topic;
  #isOnline: boolean | null = null;

  constructor(deps: { bus: Bus; clock: Clock }, link: AnnouncedLink) {
    this.#bus = deps.bus;
    this.#clock = deps.clock;
    this.#link = link;
    // A client id may hold wildcards and be as long as a whole topic.
    const level = link.clientId.replace(/[+#]/g, "_").slice(0, 10_000).toWellFormed();
    this.#statusTopic = topic(`$SYS/brokers/client_status/${level}`);
  }

  /** Resolves when both are published; says nothing when the state is the one last announced. */
  async announce(isOnline: boolean): Promise<void> {
    if (isOnline === this.#isOnline) return;
    this.#isOnline = isOnline;
    const members = isOnline ? this.#connected() : this.#lost();
    const status = isOnline ? "online" : "offline";
    const pair = topic(`$SYS/brokers/${isOnline ? "connected" : "disconnected"}`);
    await Promise.all([
      this.#publish(this.#statusTopic, { status, ...members }),
      this.#publish(pair, members),
    ]);
  }

  #connected() {
    const { clientId, username, protocolVersion, keepAliveS, cleanStart } = this.#link;
    return {
      username: username ?? "",
      ts: this.#clock.nowMs(),
      proto_name: protocolVersion === 3 ? "MQIsdp" : "MQTT",
      keepalive: keepAliveS,
      return_code: "0",
      proto_ver: protocolVersion,
      client_id: clientId,
      clean_start: cleanStart ? 1 : 0,
    };
  }

  #lost() {
    const { clientId, username } = this.#link;
    const ts = this.#clock.nowMs();
    return { username: username ?? "", ts, reason_code: LOSS, client_id: clientId };
  }

  #publish(name: Topic, members: object): Promise<void> {
    return this.#bus.publish({
      topic: name,
      payload: Buffer.from(JSON.stringify(members)),
      qos: 0,
      retain: true,
      origin: { kind: "system" },
    });
  }
}
