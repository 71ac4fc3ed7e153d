export type { Ack } from "./acks.ts";
export { ack5, readAck } from "./acks.ts";
export type { Connect, ConnectWill } from "./connect.ts";
export { connack3, connack5, readConnect } from "./connect.ts";
export { disconnect5, readDisconnect } from "./disconnect.ts";
export { PACKET } from "./packet-types.ts";
export { decodeText, Reader, varintSize, writeVarint } from "./primitives.ts";
export type { Properties } from "./properties.ts";
export { propertyBytes, readProperties } from "./properties.ts";
export type { ReasonCode } from "./reason-codes.ts";
export {
  connectReturnCode,
  malformed,
  PacketFault,
  protocolError,
  REASON,
} from "./reason-codes.ts";
export type { FilterRequest, Subscribe, Unsubscribe } from "./subscribe.ts";
export { readSubscribe, readUnsubscribe, subscribeAck } from "./subscribe.ts";
