import { PacketFault, REASON } from "./codec/index.ts";
import { LazyMap } from "./lazy-map.ts";

/**
 * Topic Aliases a client sends (MQTT 5.0 §3.3.2.3.4), for one connection. `V` is whatever stands
 * for a topic.
 */
export class IncomingAliases<V> {
  readonly #max: number;
  readonly #topics = new LazyMap<number, V>();

  constructor(max: number) {
    this.#max = max;
  }

  /** @throws PacketFault 0x94 for 0 or one over the maximum ([MQTT-3.3.2-8], [MQTT-3.3.2-9]). */
  set(alias: number, topic: V): void {
    this.#check(alias);
    this.#topics.set(alias, topic);
  }

  /** @throws PacketFault 0x94 as `set`, 0x82 for one that was never set. */
  get(alias: number): V {
    this.#check(alias);
    const topic = this.#topics.get(alias);
    if (topic === undefined) {
      throw new PacketFault(REASON.protocolError, "topic alias was never set");
    }
    return topic;
  }

  #check(alias: number): void {
    if (alias === 0 || alias > this.#max) {
      throw new PacketFault(REASON.topicAliasInvalid, "topic alias is 0 or over the maximum");
    }
  }
}

/** An alias to send: `isNew` = with the topic, which it stands for from then on. */
export interface OutgoingAlias {
  readonly alias: number;
  readonly isNew: boolean;
}

const NONE: OutgoingAlias = { alias: 0, isNew: true };

/** Topic Aliases the server sends on one connection: the first topics get one, up to the maximum. */
export class OutgoingAliases {
  readonly #max: number;
  readonly #known = new LazyMap<string, OutgoingAlias>();

  constructor(max: number) {
    this.#max = max;
  }

  /** What to send with `topic`. Nothing is remembered until `confirm`. */
  of(topic: string): OutgoingAlias {
    const known = this.#known.get(topic);
    if (known !== undefined) return known;
    return this.#known.size < this.#max ? { alias: this.#known.size + 1, isNew: true } : NONE;
  }

  /** The packet with a new alias is sent. */
  confirm(topic: string, alias: number): void {
    this.#known.set(topic, { alias, isNew: false });
  }
}
