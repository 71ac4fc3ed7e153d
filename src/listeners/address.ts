import { isIPv4 } from "node:net";

const MAPPED_PREFIX = "::ffff:";

/**
 * An address as people write it: a dual-stack socket reports IPv4 peers as `::ffff:192.0.2.1`
 * (RFC 4291 §2.5.5.2), which would make one device look like two.
 */
export function plainAddress(address: string): string {
  const tail = address.slice(MAPPED_PREFIX.length);
  return address.startsWith(MAPPED_PREFIX) && isIPv4(tail) ? tail : address;
}

/** Whether a plain address belongs to this machine alone (127.0.0.0/8, ::1). */
export function isLoopback(address: string): boolean {
  return address === "::1" || (isIPv4(address) && address.startsWith("127."));
}
