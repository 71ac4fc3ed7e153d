import { isIP } from "node:net";

/** An address, or a block of them, as bytes: 4 or 16. */
export interface AddressBlock {
  readonly bytes: Uint8Array;
  /** Bits of `bytes` that count. */
  readonly prefix: number;
}

/** Null for what is no IP address; `::ffff:192.0.2.1` is 192.0.2.1 (RFC 4291 §2.5.5.2). */
export function addressBytes(text: string): Uint8Array | null {
  const kind = isIP(text);
  if (kind === 0) return null;
  if (kind === 4) return Uint8Array.from(text.split("."), Number);
  const bytes = ipv6Bytes(text.split("%")[0] ?? "");
  const isMapped = bytes.subarray(0, 12).every((byte, at) => byte === (at < 10 ? 0 : 255));
  return isMapped ? bytes.slice(12) : bytes;
}

/** Null for what is neither an address with a prefix length nor an address (RFC 4632 §3.1). */
export function addressBlock(text: string): AddressBlock | null {
  const [, address = "", given] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const bytes = addressBytes(address);
  if (bytes === null) return null;
  const bits = bytes.length * 8;
  // A mapped block is counted from the front of its 128 bits.
  const isMapped = bits === 32 && address.includes(":");
  const prefix = given === undefined ? bits : Number(given) - (isMapped ? 96 : 0);
  return prefix < 0 || prefix > bits ? null : { bytes, prefix };
}

/** Names the block of `prefix` bits that `bytes` lies in. */
export function blockKey(bytes: Uint8Array, prefix: number): string {
  let key = bytes.length === 4 ? "4" : "6";
  for (let at = 0; at * 8 < prefix; at++) {
    const left = Math.min(8, prefix - at * 8);
    key += String.fromCharCode((bytes[at] ?? 0) & (0xff << (8 - left)));
  }
  return key;
}

function ipv6Bytes(text: string): Uint8Array {
  const [head = "", tail] = text.split("::");
  const front = groupBytes(head);
  const back = tail === undefined ? [] : groupBytes(tail);
  const bytes = new Uint8Array(16);
  bytes.set(front);
  bytes.set(back, 16 - back.length);
  return bytes;
}

function groupBytes(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (group.includes(".")) return group.split(".").map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
