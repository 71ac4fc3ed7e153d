import { GatewayError } from "../errors/index.ts";
import { MAX_STRING_BYTES } from "./topic.ts";

declare const clientIdBrand: unique symbol;

/** A valid, non-empty Client Identifier (MQTT 5.0 §3.1.3.1). */
export type ClientId = string & { readonly [clientIdBrand]: true };

/** @throws GatewayError MQTT_CLIENT_ID_INVALID when empty, over 65 535 UTF-8 bytes, or holding U+0000. */
export function clientId(raw: string): ClientId {
  const reason = faultOf(raw);
  if (reason !== null) throw new GatewayError("MQTT_CLIENT_ID_INVALID", { value: raw, reason });
  return raw as ClientId;
}

function faultOf(raw: string): string | null {
  if (raw === "") return "it is empty";
  if (raw.includes("\0")) return "it holds U+0000";
  if (!raw.isWellFormed()) return "it is not valid Unicode";
  return Buffer.byteLength(raw) > MAX_STRING_BYTES ? `it is over ${MAX_STRING_BYTES} bytes` : null;
}
