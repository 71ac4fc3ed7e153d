import fc from "fast-check";
import mqttPacket, { type Packet } from "mqtt-packet";
import { expect, test } from "vitest";
import {
  ack5,
  connack5,
  decodeText,
  disconnect5,
  PACKET,
  PacketFault,
  type Properties,
  propertyBytes,
  Reader,
  readAck,
  readConnect,
  readDisconnect,
  readProperties,
  readSubscribe,
  readUnsubscribe,
  subscribeAck,
} from "./index.ts";

const text = fc
  .string({ unit: "binary", maxLength: 30 })
  .filter((s) => s.isWellFormed() && !s.includes("\0"));
const user = fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 5 });

const publishProperties: fc.Arbitrary<Properties> = fc.record(
  {
    payloadFormatIndicator: fc.constantFrom(0, 1),
    messageExpiryInterval: fc.nat(0xffff_ffff),
    contentType: text,
    responseTopic: text,
    correlationData: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    subscriptionIdentifiers: fc.integer({ min: 1, max: 268_435_455 }).map((id) => [id]),
    topicAlias: fc.integer({ min: 1, max: 65_535 }),
    userProperties: user,
  },
  { requiredKeys: [] },
);

function list(bytes: Buffer): Buffer {
  const length: number[] = [];
  let rest = bytes.length;
  do {
    length.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.concat([Buffer.from(length), bytes]);
}

function read(bytes: Buffer, type: number): Properties {
  return readProperties(new Reader(bytes, 0, bytes.length), type);
}

/** The packet's body, behind its fixed header. */
function bodyOf(packet: Packet, protocolVersion: number): Buffer {
  const bytes = mqttPacket.generate(packet, { protocolVersion });
  let at = 1;
  while ((bytes[at] ?? 0) > 127) at++;
  return bytes.subarray(at + 1);
}

function parsed(bytes: Buffer): Packet {
  let found: Packet | null = null;
  const parser = mqttPacket.parser({ protocolVersion: 5 });
  parser.on("packet", (packet) => {
    found = packet;
  });
  parser.parse(bytes);
  if (found === null) throw new Error("no packet");
  return found;
}

function codeOf(task: () => unknown): number | "accepted" {
  try {
    task();
    return "accepted";
  } catch (err) {
    if (err instanceof PacketFault) return err.code;
    throw err;
  }
}

test("properties survive writing and reading, user properties in order", () => {
  fc.assert(
    fc.property(publishProperties, (properties) => {
      expect(read(list(propertyBytes(properties)), PACKET.publish)).toEqual(properties);
    }),
  );
});

test("a property given twice is a protocol error, one that may not stand there malformed", () => {
  const expiry = Buffer.from([0x11, 0, 0, 0, 9]);
  expect(read(list(expiry), PACKET.connect)).toEqual({ sessionExpiryInterval: 9 });
  expect(codeOf(() => read(list(Buffer.concat([expiry, expiry])), PACKET.connect))).toBe(0x82);
  expect(codeOf(() => read(list(expiry), PACKET.publish))).toBe(0x81);
  expect(codeOf(() => read(list(Buffer.from([0x7e, 0])), PACKET.publish))).toBe(0x81);
  expect(codeOf(() => read(list(Buffer.from([0x01, 2])), PACKET.publish))).toBe(0x82);
  expect(codeOf(() => read(list(Buffer.from([0x21, 0, 0])), PACKET.connect))).toBe(0x82);
  expect(codeOf(() => read(Buffer.from([9, 0x01, 1]), PACKET.publish))).toBe(0x81);
});

test("any bytes given to any reader end in a packet or a refusal", () => {
  const readers: readonly ((bytes: Buffer) => unknown)[] = [
    (bytes) => readConnect(bytes, 0, bytes.length),
    (bytes) => readSubscribe(true, bytes, 0, bytes.length, 100),
    (bytes) => readSubscribe(false, bytes, 0, bytes.length, 100),
    (bytes) => readUnsubscribe(true, bytes, 0, bytes.length, 100),
    (bytes) => readDisconnect(true, bytes, 0, bytes.length),
    (bytes) => readAck(PACKET.puback, true, bytes, 0, bytes.length),
    (bytes) => read(bytes, PACKET.publish),
  ];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (raw) => {
      for (const task of readers) codeOf(() => task(Buffer.from(raw)));
    }),
    { numRuns: 2000 },
  );
});

test("a changed byte in a CONNECT of either version ends in a packet or a refusal", () => {
  const packets = [4, 5].map((protocolVersion) =>
    bodyOf(
      {
        cmd: "connect",
        protocolId: "MQTT",
        protocolVersion: protocolVersion === 5 ? 5 : 4,
        clean: true,
        clientId: "client",
        keepalive: 30,
        username: "u",
        password: Buffer.from("p"),
        will: { topic: "w", payload: Buffer.from("gone"), qos: 1, retain: true },
        ...(protocolVersion === 5 ? { properties: { sessionExpiryInterval: 5 } } : {}),
      },
      protocolVersion,
    ),
  );
  for (const whole of packets) {
    const connect = readConnect(whole, 0, whole.length);
    expect(connect).toMatchObject({ clientId: "client", keepAliveS: 30, username: "u" });
    expect(connect.will).toMatchObject({ topic: "w", qos: 1, retain: true });
    for (let at = 0; at < whole.length; at++) {
      expect(codeOf(() => readConnect(whole, 0, at))).not.toBe("accepted");
      for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
        const changed = Buffer.from(whole);
        changed[at] = value;
        codeOf(() => readConnect(changed, 0, changed.length));
      }
    }
  }
});

test("the bridge's protocol levels are those of 3.1 and 3.1.1 [MQTT-3.1.2-2]", () => {
  const connect = (name: string, level: number) => {
    const bytes = Buffer.from([0, name.length, ...Buffer.from(name), level, 2, 0, 0, 0, 1, 0x61]);
    return codeOf(() => readConnect(bytes, 0, bytes.length));
  };
  for (const [name, level] of [
    ["MQTT", 4],
    ["MQTT", 0x84],
    ["MQIsdp", 3],
    ["MQIsdp", 0x83],
  ] as const) {
    expect(connect(name, level)).toBe("accepted");
  }
  for (const [name, level] of [
    ["MQTT", 3],
    ["MQTT", 6],
    ["MQTT", 0x85],
    ["MQIsdp", 4],
    ["mqtt", 4],
  ] as const) {
    expect(connect(name, level)).toBe(0x84);
  }
});

test("text is strict UTF-8 [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.4-3]", () => {
  const decode = (...bytes: number[]) => decodeText(Buffer.from(bytes), 0, bytes.length);
  expect(decode(0xef, 0xbb, 0xbf, 0x61)).toBe("\ufeffa");
  for (const bytes of [[0], [0x61, 0], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xff], [0xe2, 0x82]]) {
    expect(decode(...bytes)).toBeNull();
  }
  fc.assert(
    fc.property(text, (value) => {
      const bytes = Buffer.from(value);
      expect(decodeText(bytes, 0, bytes.length)).toBe(value);
    }),
  );
});

test("what is written is read by another implementation", () => {
  expect(
    parsed(connack5(true, 0, { receiveMaximum: 7, assignedClientIdentifier: "x" })),
  ).toMatchObject({
    cmd: "connack",
    sessionPresent: true,
    reasonCode: 0,
    properties: { receiveMaximum: 7, assignedClientIdentifier: "x" },
  });
  expect(parsed(ack5(PACKET.puback, 5, 0x97, { reasonString: "full" }))).toMatchObject({
    cmd: "puback",
    messageId: 5,
    reasonCode: 0x97,
    properties: { reasonString: "full" },
  });
  expect(parsed(disconnect5(0x8e, {}))).toMatchObject({ cmd: "disconnect", reasonCode: 0x8e });
  expect(parsed(subscribeAck(PACKET.suback, true, 3, [1, 0x87], {}))).toMatchObject({
    cmd: "suback",
    messageId: 3,
    granted: [1, 0x87],
  });
});
