import type { ClientInfo } from "../mqtt/index.ts";
import type { Engine } from "./engine.ts";
import type { Session } from "./session.ts";

/** A session as the other parts see it. */
export function clientInfo(session: Session, engine: Engine): ClientInfo {
  const connection = engine.connectionOf(session);
  const { will } = session;
  return {
    clientId: session.clientId,
    isConnected: connection?.state === "ready",
    username: session.username,
    protocolVersion: session.version,
    cleanStart: session.cleanStart,
    keepAliveS: session.keepAliveS,
    will:
      will === null
        ? null
        : { topic: will.message.topic, payload: will.message.payload, qos: will.message.qos },
    listener: session.listener,
    peerAddress: session.peerAddress,
    peerPort: session.peerPort,
    sinceMs: session.sinceMs,
    messagesIn: connection?.messagesIn ?? 0,
    messagesOut: connection?.messagesOut ?? 0,
  };
}
