import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Counters } from "./counters.ts";
import type { Authorizer } from "./ports.ts";

/** Who asks. */
export interface Identity {
  readonly clientId: string;
  readonly username: string | null;
  readonly address: string;
  readonly isSuperuser: boolean;
}

/** Who may publish and subscribe to what: the gateway's own topics, then the authorizer. */
export class Access {
  readonly #authorizer: Authorizer;
  readonly #log: Log;
  readonly #counters: Counters;

  constructor(authorizer: Authorizer, log: Log, counters: Counters) {
    this.#authorizer = authorizer;
    this.#log = log;
    this.#counters = counters;
  }

  /** `$SYS` is the gateway's own; the authorizer is not asked about it. */
  mayPublish(who: Identity, topic: string, qos: 0 | 1 | 2, retain: boolean): boolean {
    const isOwn = topic === "$SYS" || topic.startsWith("$SYS/");
    return this.#count(!isOwn && this.#allows(who, "publish", topic, qos, retain));
  }

  /** `filter` without its share. */
  maySubscribe(who: Identity, filter: string, qos: 0 | 1 | 2): boolean {
    return this.#count(this.#allows(who, "subscribe", filter, qos, false));
  }

  #count(isAllowed: boolean): boolean {
    if (isAllowed) this.#counters.allowed++;
    else this.#counters.refused++;
    return isAllowed;
  }

  #allows(
    { clientId, username, address, isSuperuser }: Identity,
    action: "publish" | "subscribe",
    topic: string,
    qos: 0 | 1 | 2,
    retain: boolean,
  ): boolean {
    try {
      return this.#authorizer.authorize({
        clientId,
        username,
        address,
        isSuperuser,
        action,
        topic,
        qos,
        retain,
      });
    } catch (err) {
      this.#log.error({ err: reasonOf(err), action }, "authorizer failed, access denied");
      return false;
    }
  }
}
