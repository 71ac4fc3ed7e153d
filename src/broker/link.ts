import type { Peer } from "../mqtt/index.ts";
import type { ConnectPacket, EngineClient } from "./engine.ts";
import type { Session } from "./sessions.ts";

/** Why a connection ended: the MQTT 5.0 reason code (§2.4), and words for the log. */
export interface EndReason {
  readonly code: number;
  readonly text: string;
}

export const END = {
  normal: { code: 0x00, text: "disconnected by the client" },
  lost: { code: 0x80, text: "connection lost" },
  stopping: { code: 0x8b, text: "the gateway is stopping" },
  keepAlive: { code: 0x8d, text: "keep alive timeout" },
  takenOver: { code: 0x8e, text: "session taken over" },
  administrative: { code: 0x98, text: "disconnected by an operator" },
} as const satisfies Readonly<Record<string, EndReason>>;

/** One network connection, from its accept to its end. */
export class Link {
  readonly engine: EngineClient;
  readonly peer: Peer;
  /** Its CONNECT, once it arrived. */
  connect: ConnectPacket | null = null;
  /** The session it uses, once it is authenticated. */
  session: Session | null = null;
  end: EndReason = END.lost;
  /** Its CONNACK said yes, so its end is announced too. */
  isAnnounced = false;
  messagesIn = 0;
  messagesOut = 0;

  constructor(engine: EngineClient, peer: Peer) {
    this.engine = engine;
    this.peer = peer;
  }

  get username(): string | null {
    return this.connect?.username ?? null;
  }
}
