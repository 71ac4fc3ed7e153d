import type { MetricName, Metrics } from "../mqtt/index.ts";
import type { Counters } from "./counters.ts";

/** Counters that other parts of the gateway keep. */
type ForeignMetric =
  | "messages.delayed"
  | "authorization.superuser"
  | "authorization.nomatch"
  | "authorization.matched_allow"
  | "authorization.matched_deny"
  | "actions.executed"
  | "actions.messages";

/** The counters the engine keeps; those that stand for nothing in Tidegate are 0. */
export type EngineMetric = Exclude<MetricName, ForeignMetric>;

/** The engine's counters under EMQX's names. */
export function engineMetrics(c: Counters): Pick<Metrics, EngineMetric> {
  const messagesIn = c.qos0In + c.qos1In + c.qos2In;
  const messagesOut = c.qos0Out + c.qos1Out + c.qos2Out;
  const qos0Dropped = c.qos0Blocked + c.qos0Away;
  const asked = c.allowed + c.refused;
  return {
    "bytes.received": c.bytesIn,
    "bytes.sent": c.bytesOut,
    "packets.received": messagesIn + otherPacketsIn(c),
    "packets.sent": packetsOut(c),
    "packets.connect.received": c.connectIn,
    "packets.connack.sent": c.connackOut,
    "packets.connack.error": c.connackError,
    "packets.connack.auth_error": c.connackAuthError,
    "packets.publish.received": messagesIn,
    "packets.publish.sent": c.publishOut,
    "packets.publish.inuse": c.publishInUse,
    "packets.publish.error": c.publishError,
    "packets.publish.auth_error": c.publishAuthError,
    "packets.publish.quota_exceeded": c.publishQuotaExceeded,
    "packets.puback.received": c.pubackIn,
    "packets.puback.sent": c.pubackOut,
    "packets.puback.inuse": c.pubackInUse,
    "packets.puback.missed": c.pubackMissed,
    "packets.pubrec.received": c.pubrecIn,
    "packets.pubrec.sent": c.pubrecOut,
    "packets.pubrec.inuse": c.pubrecInUse,
    "packets.pubrec.missed": c.pubrecMissed,
    "packets.pubrel.received": c.pubrelIn,
    "packets.pubrel.sent": c.pubrelOut,
    "packets.pubrel.missed": c.pubrelMissed,
    "packets.pubcomp.received": c.pubcompIn,
    "packets.pubcomp.sent": c.pubcompOut,
    "packets.pubcomp.inuse": c.pubcompInUse,
    "packets.pubcomp.missed": c.pubcompMissed,
    "packets.subscribe.received": c.subscribeIn,
    "packets.subscribe.error": c.subscribeError,
    "packets.subscribe.auth_error": c.subscribeAuthError,
    "packets.suback.sent": c.subackOut,
    "packets.unsubscribe.received": c.unsubscribeIn,
    "packets.unsubscribe.error": c.unsubscribeError,
    "packets.unsuback.sent": c.unsubackOut,
    "packets.pingreq.received": c.pingreqIn,
    "packets.pingresp.sent": c.pingrespOut,
    "packets.disconnect.received": c.disconnectIn,
    "packets.disconnect.sent": c.disconnectOut,
    "packets.auth.received": c.authIn,
    "packets.auth.sent": 0,
    "messages.received": messagesIn,
    "messages.sent": messagesOut,
    "messages.qos0.received": c.qos0In,
    "messages.qos0.sent": c.qos0Out,
    "messages.qos1.received": c.qos1In,
    "messages.qos1.sent": c.qos1Out,
    "messages.qos2.received": c.qos2In,
    "messages.qos2.sent": c.qos2Out,
    "messages.publish": c.published,
    "messages.dropped": c.noSubscriber + c.storeRefused + c.denied + c.receiveMaximum,
    "messages.dropped.await_pubrel_timeout": 0,
    "messages.dropped.no_subscribers": c.noSubscriber,
    "messages.dropped.quota_exceeded": c.storeRefused,
    "messages.dropped.receive_maximum": c.receiveMaximum,
    "messages.forward": 0,
    "messages.retained": c.retained,
    "messages.delivered": messagesOut - c.repeatedOut,
    "messages.acked": c.acked,
    "messages.validation_succeeded": 0,
    "messages.validation_failed": 0,
    "messages.transformation_succeeded": 0,
    "messages.transformation_failed": 0,
    "messages.persisted": 0,
    "delivery.dropped": c.noLocal + c.tooLarge + qos0Dropped + c.queueFull + c.expired + c.heldBack,
    "delivery.dropped.no_local": c.noLocal,
    "delivery.dropped.too_large": c.tooLarge,
    "delivery.dropped.qos0_msg": qos0Dropped,
    "delivery.dropped.queue_full": c.queueFull,
    "delivery.dropped.expired": c.expired,
    "delivery.dropped.filter": c.heldBack,
    "client.connect": c.connectIn,
    "client.connack": c.connackOut,
    "client.connected": c.connected,
    "client.disconnected": c.disconnected,
    "client.authenticate": c.authSuccess + c.authFailure,
    "client.post_authn": c.authSuccess,
    "client.auth.anonymous": c.authAnonymous,
    "client.authorize": asked,
    "client.subscribe": c.subscribeIn,
    "client.unsubscribe": c.unsubscribeIn,
    "session.created": c.sessionCreated,
    "session.resumed": c.sessionResumed,
    "session.takenover": c.sessionTakenOver,
    "session.discarded": c.sessionDiscarded,
    "session.terminated": c.sessionTerminated,
    "session.disconnected": c.sessionDisconnected,
    "authorization.allow": c.accepted + c.allowed - c.publishAllowed,
    "authorization.deny": c.publishDenied + c.refused - c.publishRefused,
    "authorization.cache_hit": c.accepted + c.publishDenied - c.publishAllowed - c.publishRefused,
    "authorization.cache_miss": asked,
    "authentication.success": c.authSuccess,
    "authentication.success.anonymous": c.authAnonymous,
    "authentication.failure": c.authFailure,
    "rules.matched": 0,
    "overload_protection.delay.ok": 0,
    "overload_protection.delay.timeout": 0,
    "overload_protection.hibernation": 0,
    "overload_protection.gc": 0,
    "overload_protection.new_conn": 0,
  };
}

/** All but PUBLISH. */
function otherPacketsIn(c: Counters): number {
  const acks = c.pubackIn + c.pubrecIn + c.pubrelIn + c.pubcompIn;
  return (
    c.connectIn + acks + c.subscribeIn + c.unsubscribeIn + c.pingreqIn + c.disconnectIn + c.authIn
  );
}

function packetsOut(c: Counters): number {
  const acks = c.pubackOut + c.pubrecOut + c.pubrelOut + c.pubcompOut;
  const others = c.connackOut + c.subackOut + c.unsubackOut + c.pingrespOut + c.disconnectOut;
  return c.publishOut + acks + others;
}
