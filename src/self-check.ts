import { type Bus, topic, topicFilter } from "./mqtt/index.ts";

const CHECK_TOPIC = "$tidegate/self-check";

/**
 * The question the watchdog asks: does a message published here still reach a subscriber here? It
 * passes the broker's whole way, so a broker that hangs is found although the process runs.
 */
export function createSelfCheck(bus: Bus): () => Promise<void> {
  return async () => {
    const arrived = Promise.withResolvers<void>();
    const unsubscribe = bus.subscribe(topicFilter(CHECK_TOPIC), () => arrived.resolve());
    try {
      await bus.publish({
        topic: topic(CHECK_TOPIC),
        payload: Buffer.alloc(0),
        qos: 0,
        retain: false,
        origin: { kind: "system" },
      });
      await arrived.promise;
    } finally {
      unsubscribe();
    }
  };
}
