import type { DropReason, MessageCounters } from "../mqtt/index.ts";
import { PACKET, REASON, type ReasonCode } from "./codec/index.ts";

/** Codes of a CONNACK that have to do with who the client is and what it may. */
const AUTH_CODES: ReadonlySet<ReasonCode> = new Set([
  REASON.badUserNameOrPassword,
  REASON.notAuthorized,
  REASON.badAuthenticationMethod,
  REASON.banned,
]);

/**
 * Running totals since the process started. Plain numbers on one object of one shape: counting a
 * message costs one addition. Totals that follow from others are not kept but added up when asked
 * for; `In` is from clients, `Out` to clients. The gateway's own `$SYS` messages count as packets
 * and bytes, not as messages.
 */
export class Counters {
  bytesIn = 0;
  bytesOut = 0;

  // Packets; PUBLISH received is the sum of the three messages received.
  connectIn = 0;
  connackOut = 0;
  connackError = 0;
  connackAuthError = 0;
  publishOut = 0;
  publishInUse = 0;
  publishError = 0;
  publishAuthError = 0;
  publishQuotaExceeded = 0;
  pubackIn = 0;
  pubackOut = 0;
  pubackInUse = 0;
  pubackMissed = 0;
  pubrecIn = 0;
  pubrecOut = 0;
  pubrecInUse = 0;
  pubrecMissed = 0;
  pubrelIn = 0;
  pubrelOut = 0;
  pubrelMissed = 0;
  pubcompIn = 0;
  pubcompOut = 0;
  pubcompInUse = 0;
  pubcompMissed = 0;
  subscribeIn = 0;
  subscribeError = 0;
  subscribeAuthError = 0;
  subackOut = 0;
  unsubscribeIn = 0;
  unsubscribeError = 0;
  unsubackOut = 0;
  pingreqIn = 0;
  pingrespOut = 0;
  disconnectIn = 0;
  disconnectOut = 0;
  authIn = 0;

  // Messages, by QoS.
  qos0In = 0;
  qos1In = 0;
  qos2In = 0;
  qos0Out = 0;
  qos1Out = 0;
  qos2Out = 0;
  /** Copies sent again on a later connection. */
  repeatedOut = 0;
  acked = 0;
  retained = 0;
  /** Taken from clients' PUBLISH packets, and from elsewhere: wills, bridges, serial ports, the API. */
  accepted = 0;
  publishedHere = 0;

  // Messages dropped as a whole.
  noSubscriber = 0;
  storeRefused = 0;
  denied = 0;
  receiveMaximum = 0;

  // Copies dropped on the way to one client.
  noLocal = 0;
  tooLarge = 0;
  queueFull = 0;
  /** QoS 0 for a client that does not read, and for one that is away. */
  qos0Blocked = 0;
  qos0Away = 0;
  expired = 0;
  heldBack = 0;

  // Clients and sessions.
  connected = 0;
  disconnected = 0;
  authSuccess = 0;
  authAnonymous = 0;
  authFailure = 0;
  sessionCreated = 0;
  sessionResumed = 0;
  sessionTakenOver = 0;
  sessionDiscarded = 0;
  sessionTerminated = 0;
  sessionDisconnected = 0;

  // Answers of the access rules; those about a client's PUBLISH apart, since most are remembered.
  allowed = 0;
  refused = 0;
  publishAllowed = 0;
  publishRefused = 0;
  /** PUBLISH packets denied by the rules, remembered answers included. */
  publishDenied = 0;

  get published(): number {
    return this.accepted + this.publishedHere;
  }

  /** A packet of this type has broken the protocol. */
  faultIn(type: number): void {
    if (type === PACKET.publish) this.publishError++;
    else if (type === PACKET.subscribe) this.subscribeError++;
    else if (type === PACKET.unsubscribe) this.unsubscribeError++;
  }

  /** A CONNACK with a failure code has been sent. */
  connackRefused(code: ReasonCode): void {
    this.connackOut++;
    this.connackError++;
    if (AUTH_CODES.has(code)) this.connackAuthError++;
  }

  /** The short form, as NanoMQ's interface shows it. */
  snapshot(): MessageCounters {
    const dropped: Record<DropReason, number> = {
      no_subscriber: this.noSubscriber,
      queue_full: this.queueFull + this.qos0Blocked,
      expired: this.expired,
      too_large: this.tooLarge,
      rejected: this.denied + this.storeRefused,
    };
    const sent = this.qos0Out + this.qos1Out + this.qos2Out;
    return { received: this.published, sent, dropped };
  }
}
