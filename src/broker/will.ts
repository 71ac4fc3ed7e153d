import type { StoredWill, Topic } from "../mqtt/index.ts";
import type { ConnectWill } from "./codec/index.ts";
import type { Connection } from "./connection.ts";
import { fromWire } from "./publication.ts";

/** The will of a CONNECT as the session keeps it (MQTT 5.0 §3.1.2.5). */
export function storedWill(will: ConnectWill | null, connection: Connection): StoredWill | null {
  if (will === null) return null;
  const properties = fromWire(will.properties);
  return {
    message: {
      topic: will.topic as Topic,
      payload: will.payload,
      qos: will.qos,
      retain: will.retain,
      ...(properties === null ? {} : { properties }),
      origin: connection.origin,
      publishedMs: Date.now(),
      // Counted from its publication, not from the CONNECT.
      expiresAtMs: null,
    },
    delayS: will.properties.willDelayInterval ?? 0,
    dueAtMs: null,
  };
}
