import { topic } from "../mqtt/index.ts";
import { defaultsOf, type MemberFault, objectOf } from "./collections.ts";
import {
  bool,
  checkedText,
  int,
  nullable,
  oneOf,
  type SchemaTree,
  text,
  type ValuesOf,
} from "./format.ts";
import { key } from "./key.ts";

/** A topic that messages are published to or taken from. */
export const topicName = checkedText("topic", "a topic without wildcards", (value) => {
  try {
    return topic(value) !== "" && !value.startsWith("$");
  } catch {
    return false;
  }
});

const devicePath = checkedText(
  "device",
  "the absolute path of a device, /dev/serial/by-id/… at best",
  (value) => /^\/[^\0]{1,4000}$/.test(value) && !value.split("/").includes(".."),
);

const delimiter = checkedText(
  "hexadecimal bytes",
  'one to 16 bytes in hexadecimal, such as "0d0a"',
  (value) => /^([\da-f]{2}){1,16}$/i.test(value),
);

const PAYLOAD_FORMS = ["raw", "text", "hex", "base64", "json"] as const;

const framingMembers = {
  type: key(
    oneOf(["line", "delimiter", "fixed", "length_prefix", "slip", "cobs", "idle", "raw"]),
    "line",
    "How frames are told apart: line = LF or CR LF ends one; delimiter; fixed length; length_prefix; slip (RFC 1055); cobs; idle = silence of idle_ms ends one; raw = bytes as they are read.",
  ),
  max_frame_bytes: key(
    int(1, 65_536),
    4096,
    "Longest frame; what is longer is discarded and counted.",
  ),
  delimiter_hex: key(delimiter, "0a", "With delimiter: the bytes that end a frame."),
  length_bytes: key(int(1, 65_536), 1, "With fixed: the length of a frame."),
  prefix_bytes: key(oneOf([1, 2, 4]), 2, "With length_prefix: bytes of the length."),
  prefix_order: key(oneOf(["big", "little"]), "big", "With length_prefix: order of its bytes."),
  prefix_counts_itself: key(bool, false, "With length_prefix: the length counts the prefix too."),
  idle_ms: key(
    int(1, 60_000),
    50,
    "Silence that ends a frame (idle), or begins a new one (fixed, length_prefix), ms.",
  ),
} satisfies SchemaTree;

const framing = objectOf("framing", framingMembers, (value) =>
  value.type === "fixed" && value.length_bytes > value.max_frame_bytes
    ? [{ member: "length_bytes", expected: `at most max_frame_bytes, ${value.max_frame_bytes}` }]
    : [],
);

const portMembers = {
  enable: key(bool, true, "Open the port, and again whenever it comes back."),
  device: key(
    nullable(devicePath),
    null,
    "Device; /dev/serial/by-id/… follows an adapter, /dev/serial/by-path/… a USB socket.",
  ),
  baud_rate: key(int(50, 4_000_000), 9600, "Bits per second."),
  data_bits: key(oneOf([5, 6, 7, 8]), 8, "Data bits."),
  parity: key(oneOf(["none", "even", "odd"]), "none", "Parity."),
  stop_bits: key(oneOf([1, 2]), 1, "Stop bits."),
  flow_control: key(oneOf(["none", "rts_cts", "xon_xoff"]), "none", "Flow control."),
  rs485: key(
    oneOf(["off", "rts_high", "rts_low"]),
    "off",
    "RTS while sending, for converters that take the direction from it; off for all that switch by themselves.",
  ),
  use: key(
    oneOf(["frames", "modbus"]),
    "frames",
    "frames = bytes become messages; modbus = a line under `modbus` polls on it.",
  ),
  framing: key(framing, defaultsOf(framingMembers), "How bytes become frames, both ways."),
  topic: key(nullable(topicName), null, "Topic of received frames; null = serial/<name>/up."),
  qos: key(oneOf([0, 1, 2]), 1, "QoS of received frames."),
  retain: key(bool, false, "Keep the newest frame as the retained message."),
  payload: key(
    oneOf(PAYLOAD_FORMS),
    "text",
    "Form of received frames: raw bytes, text (UTF-8), hex, base64, or json = {ts, port, seq, data} with data in base64.",
  ),
  down_topic: key(
    nullable(topicName),
    null,
    "Topic whose messages are written to the port; null = none.",
  ),
  down_payload: key(
    oneOf(PAYLOAD_FORMS),
    "text",
    "Form of messages to write; json = {data} with data in base64.",
  ),
  down_queue_messages: key(
    int(1, 10_000),
    100,
    "Messages that wait to be written; more are refused and counted.",
  ),
} satisfies SchemaTree;

/** One serial port. */
export const serialPort = objectOf("serial port", portMembers, portFaults);

function portFaults(port: ValuesOf<typeof portMembers>): MemberFault[] {
  const faults: MemberFault[] = [];
  if (port.enable && port.device === null) {
    faults.push({ member: "device", expected: "a device, because the port is enabled" });
  }
  if (port.rs485 !== "off" && port.flow_control === "rts_cts") {
    faults.push({ member: "rs485", expected: "off, because flow_control uses RTS" });
  }
  return faults;
}

/** The name of a serial port or Modbus line. */
export const portName = text(64, 1);
