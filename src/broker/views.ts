import type { ClientDetails, ClientInfo } from "../mqtt/index.ts";
import type { Engine } from "./engine.ts";
import type { Session } from "./session.ts";
import { NO_TRAFFIC, trafficOf } from "./traffic.ts";

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
    messagesIn: connection === null ? 0 : connection.in0 + connection.in1 + connection.in2,
    messagesOut: connection === null ? 0 : connection.out0 + connection.out1 + connection.out2,
  };
}

/** All there is to say about a session. */
export function clientDetails(session: Session, engine: Engine): ClientDetails {
  const connection = engine.connectionOf(session);
  const { limits } = engine;
  return {
    ...clientInfo(session, engine),
    createdMs: session.createdMs,
    connectedMs: session.connectedMs,
    expiryIntervalS: session.expiryIntervalS,
    isDurable: session.store !== null,
    isBridge: session.isBridge,
    subscriptions: session.subscriptions.size,
    maxSubscriptions: limits.maxSubscriptions,
    inflight: session.inflightCount,
    maxInflight: connection?.window ?? limits.maxInflight,
    queued: session.waitingCount,
    maxQueued: limits.maxQueuedMessages,
    heldBytes: session.heldBytes,
    awaitingRelease: session.inbound.size,
    maxAwaitingRelease: limits.maxAwaitingRelease,
    traffic: connection === null ? (session.lastTraffic ?? NO_TRAFFIC) : trafficOf(connection),
    dropped: {
      expired: session.droppedExpired,
      queue_full: session.droppedQueueFull,
      too_large: session.droppedTooLarge,
    },
  };
}
