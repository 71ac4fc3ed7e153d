import { connect, type IClientOptions, type MqttClient } from "mqtt";
import { onTestFinished } from "vitest";
import { until } from "./until.ts";

/** A message as a test compares it. */
export interface Received {
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
}

/** A connected device that notes what it receives. */
interface Device {
  readonly client: MqttClient;
  readonly received: Received[];
  /** Waits until `count` messages have come. */
  receives(count: number, deadlineMs?: number): Promise<readonly Received[]>;
}

/** Connects MQTT.js to a local port and subscribes; it is ended when the test ends. */
export async function connectDevice(
  tcpPort: number,
  options: IClientOptions & { subscribe?: readonly string[]; qos?: 0 | 1 | 2 } = {},
): Promise<Device> {
  const { subscribe = [], qos = 1, ...rest } = options;
  const received: Received[] = [];
  const client = connect({ host: "127.0.0.1", port: tcpPort, reconnectPeriod: 0, ...rest });
  // Before the connection: a session's queue comes right behind CONNACK.
  client.on("message", (topic, payload, packet) => {
    const { retain, dup } = packet;
    received.push({ topic, payload: payload.toString(), qos: packet.qos, retain, dup });
  });
  onTestFinished(() => {
    client.end(true);
  });
  // Rejects with the reason of a refused CONNECT.
  await new Promise((resolve, reject) => client.once("connect", resolve).once("error", reject));
  client.on("error", () => {});
  for (const filter of subscribe) await client.subscribeAsync(filter, { qos });
  return {
    client,
    received,
    async receives(count, deadlineMs) {
      await until(`message ${count}`, () => received.length >= count, deadlineMs);
      return received;
    },
  };
}
