/** Reason Codes (MQTT 5.0 §2.4), by the name the specification gives them. */
export const REASON = {
  success: 0x00,
  disconnectWithWill: 0x04,
  noMatchingSubscribers: 0x10,
  noSubscriptionExisted: 0x11,
  unspecifiedError: 0x80,
  malformedPacket: 0x81,
  protocolError: 0x82,
  implementationSpecificError: 0x83,
  unsupportedProtocolVersion: 0x84,
  clientIdentifierNotValid: 0x85,
  badUserNameOrPassword: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  banned: 0x8a,
  serverShuttingDown: 0x8b,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  sessionTakenOver: 0x8e,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdentifierInUse: 0x91,
  packetIdentifierNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  quotaExceeded: 0x97,
  administrativeAction: 0x98,
  payloadFormatInvalid: 0x99,
  sharedSubscriptionsNotSupported: 0x9e,
} as const;

export type ReasonCode = (typeof REASON)[keyof typeof REASON];

/** Return codes of a 3.1 and 3.1.1 CONNACK (MQTT 3.1.1 §3.2.2.3). */
const CONNECT_RETURN_CODES: ReadonlyMap<number, number> = new Map([
  [REASON.success, 0],
  [REASON.unsupportedProtocolVersion, 1],
  [REASON.clientIdentifierNotValid, 2],
  [REASON.serverUnavailable, 3],
  [REASON.quotaExceeded, 3],
  [REASON.badUserNameOrPassword, 4],
  [REASON.notAuthorized, 5],
  [REASON.banned, 5],
]);

/** The 3.x return code for a refusal, or null where 3.x only lets the server close. */
export function connectReturnCode(reason: ReasonCode): number | null {
  return CONNECT_RETURN_CODES.get(reason) ?? null;
}

/**
 * A packet the specification does not allow. It ends the connection with `code`, so its cost is
 * paid once for each connection.
 */
export class PacketFault extends Error {
  readonly code: ReasonCode;

  constructor(code: ReasonCode, reason: string) {
    super(reason);
    this.name = "PacketFault";
    this.code = code;
  }
}

/** [MQTT-4.13.1-1]: the bytes do not follow the format. */
export function malformed(reason: string): PacketFault {
  return new PacketFault(REASON.malformedPacket, reason);
}

/** [MQTT-4.13.1-1]: the bytes are a packet, but one that is not allowed here. */
export function protocolError(reason: string): PacketFault {
  return new PacketFault(REASON.protocolError, reason);
}
