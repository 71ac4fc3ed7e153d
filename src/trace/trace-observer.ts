import type { Observer, PassingMessage } from "../mqtt/index.ts";
import { concerns, lineOf, payloadText, type Subject, type TraceSpec } from "./trace.ts";

interface Peer {
  readonly peerAddress: string;
  readonly peerPort: number;
}

/** What the observer works with. */
export interface TraceObserverDeps {
  nowMs(): number;
  peerOf(clientId: string): Peer | null;
  running(): readonly {
    readonly spec: TraceSpec;
    readonly file: { add(line: string, nowMs: number): void };
  }[];
}

type Fields = Readonly<Record<string, string | number>>;

const EVENTS = {
  connected: ["MQTT", "mqtt_connected"],
  refused: ["AUTHN", "mqtt_connect_refused"],
  disconnected: ["SOCKET", "mqtt_disconnected"],
  subscribed: ["SUBSCRIBE", "subscribe"],
  unsubscribed: ["UNSUBSCRIBE", "unsubscribe"],
} as const;

/** Writes a line into every running trace that is about what passes. */
export function traceObserver(deps: TraceObserverDeps): Observer {
  function write(
    tag: string,
    message: string,
    subject: Omit<Subject, "address"> & { readonly peer?: Peer },
    fieldsOf: (spec: TraceSpec) => Fields,
  ): void {
    let peer = subject.peer ?? null;
    let isKnown = subject.peer !== undefined;
    const lookUp = (): Peer | null => {
      if (!isKnown && subject.clientId !== null) peer = deps.peerOf(subject.clientId);
      isKnown = true;
      return peer;
    };
    for (const { spec, file } of deps.running()) {
      const address = spec.kind === "ip_address" ? plain(lookUp()?.peerAddress ?? null) : null;
      if (!concerns(spec, { ...subject, address })) continue;
      const from = lookUp();
      const who = {
        clientId: subject.clientId,
        peer: from === null ? null : `${from.peerAddress}:${from.peerPort}`,
      };
      const nowMs = deps.nowMs();
      file.add(lineOf(spec, nowMs, tag, who, message, fieldsOf(spec)), nowMs);
    }
  }

  const fieldsOfMessage = (message: PassingMessage) => (spec: TraceSpec) => ({
    topic: message.topic,
    qos: message.qos,
    retain: message.retain ? 1 : 0,
    bytes: message.payloadBytes,
    payload: spec.payloadEncode === "hidden" ? "******" : payloadText(spec, message.keep().payload),
  });

  return {
    published(message, from) {
      if (message.origin.kind === "system") return;
      const subject = { clientId: from, topic: message.topic };
      write("PUBLISH", "publish_to", subject, fieldsOfMessage(message));
    },
    sent(clientId, message, qos) {
      const subject = { clientId, topic: message.topic };
      const fields = fieldsOfMessage(message);
      write("DELIVER", "delivered", subject, (spec) => ({ ...fields(spec), qos }));
    },
    acked(clientId) {
      write("MQTT", "acknowledged", { clientId, topic: null }, () => ({}));
    },
    dropped(clientId, topic, loss) {
      write("DROP", "message_dropped", { clientId, topic }, () => ({
        ...(topic === null ? {} : { topic }),
        reason: loss,
      }));
    },
    client({ kind, clientId, username, address, tcpPort, details }) {
      const [tag, message] = EVENTS[kind];
      const peer = { peerAddress: address, peerPort: tcpPort };
      write(tag, message, { clientId, topic: null, peer }, () => ({
        ...(username === null ? {} : { username }),
        ...details,
      }));
    },
  };
}

/** IPv4 as it is written, also on a socket for both versions. */
function plain(address: string | null): string | null {
  return address?.startsWith("::ffff:") === true ? address.slice("::ffff:".length) : address;
}
