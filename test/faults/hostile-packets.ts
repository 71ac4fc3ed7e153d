import type { Random } from "./random.ts";
import {
  connectFrame,
  frame,
  PACKET,
  prefixed,
  properties,
  property32,
  uint16,
  type Version,
  varint,
} from "./wire.ts";

/** Names that have broken programs before: as client id, user name, topic, filter and payload. */
const NAMES: readonly string[] = [
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "__proto__/polluted",
  "plain",
  "a/b/c",
  "",
  "/",
  "//",
  " ",
  "#",
  "+",
  "a/#/b",
  "a+/b",
  "$SYS/brokers",
  "$share/g/x",
  "$share//x",
  "$share/g",
  "$share/+/x",
  "$queue/x",
  "../../../../etc/passwd",
  "..\\..\\x",
  "%2e%2e%2f%00",
  "line\r\nSet-Cookie: x=1\r\n\r\n",
  "\u202Egnirts\u202C",
  "\uFEFFbom",
  "\u0000",
  "a\u0000b",
  "\u0001\u001F\u007F\u009F",
  "\uFFFE\uFFFF",
  "𐍈 ☠ é e\u0301",
  "${jndi:x}{{7*7}}<script>alert(1)</script>",
  "'; DROP TABLE sessions; --",
  "x".repeat(65_535),
  "é".repeat(30_000),
  "/".repeat(200),
  "a/".repeat(30_000),
];

/** Bytes that are no UTF-8: surrogates, overlong forms, stray and missing continuations, beyond U+10FFFF. */
const BROKEN_TEXTS = ["eda080", "c080", "e08080", "80", "c3", "f4908080", "ff", "f8888080"].map(
  (hex) => Buffer.from(hex, "hex"),
);

const TYPES = Object.values(PACKET);

/** Makes packets that are valid, nearly valid and not valid at all. */
export class HostilePackets {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** A CONNECT the gateway accepts, or refuses for its names. */
  connect(version: Version): Buffer {
    const random = this.#random;
    return connectFrame({
      version,
      clientId: `${this.#name()}${random.chance(0.5) ? random.int(0, 50) : ""}`.slice(0, 65_535),
      isClean: random.chance(0.8),
      keepAliveS: random.pick([0, 1, 60, 65_535]),
      sessionExpiryS: random.pick([0, 0, 1, 60, 0xffff_ffff]),
    });
  }

  /** Well-formed in the frame, so that the gateway reads on behind it; hostile in what it says. */
  hostile(version: Version): Buffer {
    const random = this.#random;
    const kind = random.int(0, 9);
    const id = uint16(random.int(1, 65_535));
    const none = properties(version);
    if (kind < 5) return this.#publish(version, random.int(0, 2));
    if (kind < 7) {
      const count = random.pick([1, 1, 3, 100]);
      const filters = Array.from({ length: count }, () =>
        Buffer.concat([this.#text(0.02), Buffer.from([random.int(0, 2)])]),
      );
      return frame(PACKET.subscribe, 2, id, none, ...filters);
    }
    if (kind === 7) return frame(PACKET.unsubscribe, 2, id, none, this.#text(0.02));
    if (kind === 8) return frame(PACKET.pingreq, 0);
    const type = random.pick([PACKET.puback, PACKET.pubrec, PACKET.pubrel, PACKET.pubcomp]);
    return frame(type, type === PACKET.pubrel ? 2 : 0, id);
  }

  /** Wrong in at least one way. */
  malformed(version: Version): Buffer {
    const random = this.#random;
    const valid = random.chance(0.3) ? this.connect(version) : this.hostile(version);
    switch (random.int(0, 9)) {
      case 0:
        return this.#flipped(valid);
      case 1:
        return valid.subarray(0, random.int(1, Math.max(1, valid.length - 1)));
      case 2:
        return Buffer.concat([valid.subarray(0, 1), this.#falseLength(), valid.subarray(2)]);
      case 3:
        return frame(random.int(0, 15), random.int(0, 15), random.bytes(random.int(0, 40)));
      case 4:
        return random.bytes(random.int(1, 200));
      case 5:
        return frame(PACKET.publish, 6, this.#text(0.5), valid);
      case 6:
        // Packet Identifier 0, or none.
        return frame(random.pick(TYPES), 2, random.chance(0.5) ? uint16(0) : Buffer.alloc(0));
      case 7:
        return this.#withProperties(random.pick(TYPES));
      case 8:
        return frame(PACKET.connect, 0, prefixed("MQTT"), random.bytes(random.int(0, 30)));
      default:
        return Buffer.concat([valid.subarray(0, valid.length >> 1), valid]);
    }
  }

  #publish(version: Version, qos: number): Buffer {
    const random = this.#random;
    const flags = (random.chance(0.1) ? 8 : 0) | (qos << 1) | (random.chance(0.05) ? 1 : 0);
    const id = qos === 0 ? Buffer.alloc(0) : uint16(random.int(1, 300));
    const entries = random.chance(0.5) ? [property32(0x02, random.int(0, 100))] : [];
    const payload = random.chance(0.05)
      ? Buffer.alloc(random.int(1000, 100_000), 0x2b)
      : Buffer.from(this.#name().slice(0, 50));
    return frame(
      PACKET.publish,
      flags,
      this.#text(0.01),
      id,
      properties(version, entries),
      payload,
    );
  }

  #flipped(valid: Buffer): Buffer {
    const bytes = Buffer.from(valid);
    for (let n = this.#random.int(1, 8); n > 0; n--) {
      // Most of what matters stands in front.
      const at = this.#random.int(0, Math.min(bytes.length, 40) - 1);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << this.#random.int(0, 7));
    }
    return bytes;
  }

  #falseLength(): Buffer {
    const random = this.#random;
    return random.pick([
      varint(random.int(0, 20)),
      varint(random.int(100, 300_000)),
      varint(268_435_455),
      Buffer.from("ffffffff7f", "hex"),
      Buffer.from("8080808001", "hex"),
      Buffer.from("8000", "hex"),
    ]);
  }

  /** Unknown, doubled, truncated and far too many properties (MQTT 5). */
  #withProperties(type: number): Buffer {
    const random = this.#random;
    const user = Buffer.concat([Buffer.from([0x26]), this.#text(0.1, 60), this.#text(0.1, 60)]);
    const entries = random.pick([
      [Buffer.from([0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 2])],
      [Buffer.from([random.int(0, 255)]), random.bytes(random.int(0, 6))],
      [Buffer.from([0x23, 0, 0])],
      [Buffer.from([0x0b, 0x80, 0x80, 0x80, 0x80])],
      [Buffer.from([0x26, 0xff])],
      Array.from({ length: 2000 }, () => user),
    ]);
    const all = Buffer.concat(entries);
    const length = random.chance(0.3) ? varint(all.length + random.int(1, 9)) : varint(all.length);
    const start =
      type === PACKET.connect
        ? [prefixed("MQTT"), Buffer.from([5, 2, 0, 60])]
        : [type === PACKET.publish ? prefixed("t") : uint16(1)];
    const flags = random.pick([0, 2]);
    return frame(type, flags, ...start, length, all, prefixed("x"));
  }

  #name(): string {
    return this.#random.pick(NAMES);
  }

  /** A name with its length, now and then none that is UTF-8. */
  #text(brokenShare: number, maxLength = 65_535): Buffer {
    const random = this.#random;
    if (random.chance(brokenShare)) return prefixed(random.pick(BROKEN_TEXTS));
    // The long ones seldom: they would take all the time there is.
    const name = random.chance(0.98) ? random.pick(NAMES.slice(0, -4)) : this.#name();
    return prefixed(Buffer.from(name).subarray(0, maxLength));
  }
}
