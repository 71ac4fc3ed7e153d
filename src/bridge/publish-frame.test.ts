import { type IPublishPacket, parser } from "mqtt-packet";
import { expect, it } from "vitest";
import { FrameWriter } from "./frame-writer.ts";
import { type PublishPacket, publishBytes, writePublish } from "./publish-frame.ts";

const PACKET: PublishPacket = {
  topic: "plant/ä/1",
  payload: Buffer.from("21.5"),
  qos: 1,
  retain: true,
  dup: true,
  packetId: 60_001,
  properties: null,
};

function frameOf(packet: PublishPacket): Buffer {
  const frame = Buffer.alloc(publishBytes(packet));
  writePublish(frame, 0, packet);
  return frame;
}

function read(frame: Buffer, protocolVersion: 4 | 5): IPublishPacket {
  const packets: IPublishPacket[] = [];
  const reader = parser({ protocolVersion });
  reader.on("packet", (packet) => {
    if (packet.cmd === "publish") packets.push(packet);
  });
  expect(reader.parse(frame)).toBe(0);
  const [packet] = packets;
  if (packet === undefined) throw new Error("no PUBLISH");
  return packet;
}

it.each([0, 100, 20_000, 3_000_000])(
  "a PUBLISH of 3.1.1 with %i more bytes says what it should",
  (more) => {
    const payload = Buffer.alloc(more, "x");
    const {
      topic,
      qos,
      retain,
      dup,
      messageId,
      payload: got,
    } = read(frameOf({ ...PACKET, payload }), 4);
    expect({ topic, qos, retain, dup, messageId }).toEqual({
      ...{ topic: "plant/ä/1", qos: 1, retain: true, dup: true, messageId: 60_001 },
    });
    expect(payload.equals(Buffer.from(got))).toBe(true);
  },
);

it("a PUBLISH of MQTT 5 carries every property", () => {
  const properties = {
    payloadFormatIndicator: true,
    messageExpiryInterval: 70,
    contentType: "text/plain",
    responseTopic: "answers",
    correlationData: Buffer.from([1, 2]),
    userProperties: [
      ["b", "1"],
      ["a", "é"],
    ] as const,
  };
  expect(read(frameOf({ ...PACKET, qos: 0, dup: false, properties }), 5).properties).toEqual({
    ...properties,
    userProperties: { b: "1", a: "é" },
  });
  expect(read(frameOf({ ...PACKET, properties: {} }), 5).messageId).toBe(60_001);
});

it("frames of one turn are written at its end, in order, large ones whole", async () => {
  const written: Buffer[] = [];
  const frames = new FrameWriter((bytes) => written.push(bytes));
  const add = (text: string) => frames.add(text.length, (into, at) => into.write(text, at));
  add("a");
  add("b");
  expect([written.length, frames.waitingBytes]).toEqual([0, 2]);
  await new Promise((resolve) => setImmediate(resolve));
  add("c");
  add("d".repeat(70_000));
  add("e".repeat(65_000));
  add("f".repeat(1000));
  frames.flush();
  const sizes = written.map((bytes) => bytes.length);
  expect(sizes).toEqual([2, 1, 70_000, 65_000, 1000]);
  expect(
    Buffer.concat(written)
      .toString()
      .replaceAll(/(.)\1*/g, "$1"),
  ).toBe("abcdef");
});
