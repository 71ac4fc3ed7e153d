import { type IClientOptions, MqttClient, type Packet, Store, type StreamBuilder } from "mqtt";
import { ControlIds } from "./packet-ids.ts";
import { ReceiveWindow } from "./receive-window.ts";

/** What the CONNECT says. */
export interface ConnectOptions {
  readonly protocolVersion: 3 | 4 | 5;
  /** Sets the top bit of the protocol level, by which a bridge announces itself (3.1, 3.1.1). */
  readonly hasBridgeBit: boolean;
  readonly clientId: string;
  readonly username: string | null;
  readonly password: string | null;
  readonly cleanStart: boolean;
  readonly keepAliveS: number;
  /** Largest packet taken from the server. */
  readonly maxPacketBytes: number;
}

/** The session outlives the connection as it does in 3.1.1 (MQTT 5.0 §3.1.2.11.2). */
const NEVER_EXPIRES = 0xffff_ffff;

/** The time to connect is watched by the link, which counts the name look-up too. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * A client of MQTT.js that has not dialled yet (`connect`) and will dial once: it does not
 * reconnect, resubscribe, queue or store.
 */
export function createClient(openStream: StreamBuilder, options: ConnectOptions): MqttClient {
  const client = new MqttClient(openStream, {
    ...connectOptions(options),
    manualConnect: true,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    connectTimeout: MAX_TIMER_MS,
    messageIdProvider: new ControlIds(),
    outgoingStore: new ForgetfulStore(),
  });
  client.on("packetsend", (packet) => {
    // MQTT.js has no option for it, yet its writer knows it, and writes after this event.
    const bridgeMode = options.hasBridgeBit;
    if (packet.cmd === "connect") Object.assign(packet, { bridgeMode });
  });
  return client;
}

function connectOptions(options: ConnectOptions): IClientOptions {
  const { protocolVersion, username, password, cleanStart } = options;
  return {
    clientId: options.clientId,
    protocolVersion,
    protocolId: protocolVersion === 3 ? "MQIsdp" : "MQTT",
    clean: cleanStart,
    keepalive: options.keepAliveS,
    ...(username !== null && { username }),
    ...(password !== null && { password }),
    ...(protocolVersion === 5 && {
      properties: {
        sessionExpiryInterval: cleanStart ? 0 : NEVER_EXPIRES,
        receiveMaximum: ReceiveWindow.MAX_MESSAGES,
        maximumPacketSize: options.maxPacketBytes,
      },
    }),
  };
}

/** Keeps nothing: the outbox does. */
class ForgetfulStore extends Store {
  override put(_: Packet, done: () => void): this {
    done();
    return this;
  }

  override del(_: unknown, done: () => void): this {
    done();
    return this;
  }
}
