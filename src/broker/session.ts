import type {
  ConnectionTraffic,
  ProtocolVersion,
  SessionGlance,
  StoredSubscription,
  StoredWill,
  TopicFilter,
} from "../mqtt/index.ts";
import type { Deadline } from "./deadlines.ts";
import { LazyMap } from "./lazy-map.ts";
import { Outbox } from "./outbox.ts";

/**
 * One client's session (MQTT 5.0 §4.1): its outbox, its subscriptions, its inbound QoS 2 state and
 * will, and what its newest CONNECT said.
 */
export class Session extends Outbox implements SessionGlance {
  /** Rises with every session made. */
  number = 0;
  readonly subscriptions = new Map<TopicFilter, StoredSubscription>();
  /** Packet Identifiers of QoS 2 publications that wait for PUBREL. */
  readonly inbound = new LazyMap<number, true>();
  will: StoredWill | null = null;
  expiry: Deadline | null = null;
  willDue: Deadline | null = null;
  version: ProtocolVersion = 4;
  username: string | null = null;
  /** Of the connection it had last; not stored. */
  isSuperuser = false;
  cleanStart = true;
  keepAliveS = 0;
  expiryIntervalS = 0;
  /** A 3.x bridge: its own messages do not come back, and the retain flag is kept. */
  isBridge = false;
  /** When a session loaded from the store expires, gateway time, ms. */
  loadedExpiryMs: number | null = null;
  listener = "";
  peerAddress = "";
  peerPort = 0;
  sinceMs = 0;
  createdMs = 0;
  connectedMs = 0;
  /** Of the last connection, once that is over. */
  lastTraffic: ConnectionTraffic | null = null;
}
