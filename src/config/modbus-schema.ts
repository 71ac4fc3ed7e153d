import { isHost } from "./checks.ts";
import { listOf, type MemberFault, objectOf } from "./collections.ts";
import {
  bool,
  checkedText,
  int,
  nullable,
  oneOf,
  type SchemaTree,
  scalar,
  text,
  type ValuesOf,
} from "./format.ts";
import { key } from "./key.ts";
import { portName, topicName } from "./serial-schema.ts";

const decimal = scalar(
  "number",
  "a finite number",
  (value): value is number => typeof value === "number" && Number.isFinite(value),
  (given) => (given.trim() === "" ? given : Number(given)),
);

const positive = scalar(
  "number over 0",
  "a number over 0",
  (value): value is number => typeof value === "number" && Number.isFinite(value) && value > 0,
  (given) => (given.trim() === "" ? given : Number(given)),
);

const atLeastZero = scalar(
  "number from 0",
  "a number of at least 0",
  (value): value is number => typeof value === "number" && Number.isFinite(value) && value >= 0,
  (given) => (given.trim() === "" ? given : Number(given)),
);

const tagName = checkedText("tag name", "letters, digits, _, - and .", (value) =>
  /^[A-Za-z0-9_.-]{1,64}$/.test(value),
);

const host = checkedText("host", "an IP address or host name", isHost);

const tagMembers = {
  name: key(tagName, "", "Name of the value in topics and JSON."),
  area: key(
    oneOf(["coil", "discrete_input", "holding_register", "input_register"]),
    "holding_register",
    "Where it stands: read by function 1, 2, 3 or 4.",
  ),
  address: key(int(0, 65_535), 0, "Address in the protocol, counted from 0."),
  type: key(
    oneOf(["bool", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64", "bit", "string"]),
    "u16",
    "Type; coils and discrete inputs are bool. 64-bit integers over 2^53 are told as text.",
  ),
  bit: key(int(0, 15), 0, "With bit: which bit of the register, 0 = the least."),
  registers: key(int(1, 125), 1, "With string: registers it takes, two characters each."),
  word_order: key(
    oneOf(["big", "little"]),
    "big",
    "Order of the registers of a longer value: big = the most significant first.",
  ),
  byte_swap: key(bool, false, "The two bytes of each register are exchanged."),
  scale: key(decimal, 1, "The value is multiplied by this."),
  offset: key(decimal, 0, "This is added after scaling."),
  unit: key(text(32), "", "Unit, told with the value."),
  dead_band: key(atLeastZero, 0, "A change of at most this much is none."),
  writable: key(bool, false, "May be written by the command topic: coils and holding registers."),
} satisfies SchemaTree;

const WORDS: Readonly<Record<string, number>> = { u32: 2, s32: 2, f32: 2, u64: 4, s64: 4, f64: 4 };

/** Registers (or coils) a tag takes. */
export function tagWidth(tag: { readonly type: string; readonly registers: number }): number {
  return tag.type === "string" ? tag.registers : (WORDS[tag.type] ?? 1);
}

const tag = objectOf("tag", tagMembers, (value) => {
  const faults: MemberFault[] = [];
  const isBits = value.area === "coil" || value.area === "discrete_input";
  if (isBits !== (value.type === "bool")) {
    faults.push({ member: "type", expected: isBits ? "bool in this area" : "a type of registers" });
  }
  if (value.writable && (value.area === "discrete_input" || value.area === "input_register")) {
    faults.push({ member: "writable", expected: "false, because the area can only be read" });
  }
  if (value.writable && (value.type === "bit" || value.scale === 0)) {
    faults.push({ member: "writable", expected: "false for single bits and a scale of 0" });
  }
  if (value.address + tagWidth(value) > 65_536) {
    faults.push({ member: "address", expected: "an address whose value ends before 65536" });
  }
  return faults;
});

const groupMembers = {
  name: key(tagName, "", "Name of the group in topics."),
  period_s: key(positive, 1, "Time between two polls, seconds."),
  publish: key(
    oneOf(["change", "period"]),
    "change",
    "change = values that have changed by more than their dead band; period = all of them at each poll.",
  ),
  refresh_s: key(
    int(0, 86_400),
    300,
    "With change: all values are published at least this often, seconds; 0 = never.",
  ),
  tags: key(listOf(tag, 1000, "name"), [], "The values of the group."),
} satisfies SchemaTree;

const slaveMembers = {
  name: key(tagName, "", "Name of the slave in topics."),
  unit: key(int(0, 255), 1, "Unit identifier; on a serial line 1 to 247."),
  timeout_ms: key(int(10, 60_000), 500, "Time for an answer, ms."),
  retries: key(int(0, 5), 1, "Further tries before a poll counts as failed."),
  away_retry_s: key(
    int(1, 3600),
    10,
    "A slave that does not answer is asked this often, once each, seconds.",
  ),
  max_gap: key(
    int(0, 120),
    8,
    "Unused registers that may be read between two tags of one request.",
  ),
  max_registers: key(int(1, 125), 125, "Registers in one request."),
  groups: key(
    listOf(objectOf("polling group", groupMembers), 64, "name"),
    [],
    "What is polled together.",
  ),
} satisfies SchemaTree;

const masterMembers = {
  enable: key(bool, true, "Poll."),
  port: key(nullable(portName), null, "Serial port (RTU): a name under `serial` with use: modbus."),
  host: key(nullable(host), null, "Address of a Modbus TCP server, in place of a port."),
  tcp_port: key(int(1, 65_535), 502, "With host: its TCP port."),
  pause_ms: key(int(0, 1000), 5, "Silence before each request beyond what the line needs, ms."),
  topic: key(
    nullable(topicName),
    null,
    "Topic the values are published under; null = modbus/<name>.",
  ),
  form: key(
    oneOf(["json", "tags", "both"]),
    "json",
    "json = one message per group; tags = one per value; both.",
  ),
  qos: key(oneOf([0, 1, 2]), 1, "QoS of the values."),
  retain: key(bool, false, "Keep the newest values as retained messages."),
  command_topic: key(
    nullable(topicName),
    null,
    "Topic of write commands {id, slave, tag, value}; null = none. Results go to it with /result added.",
  ),
  slaves: key(
    listOf(
      objectOf("slave", slaveMembers, (slave) =>
        repeatedTag(slave) === null
          ? []
          : [{ member: "groups", expected: `tag names used once, ${repeatedTag(slave)} is not` }],
      ),
      247,
      "name",
    ),
    [],
    "The devices on the line.",
  ),
} satisfies SchemaTree;

/** One Modbus line with its slaves. */
export const modbusMaster = objectOf("Modbus line", masterMembers, masterFaults);

function masterFaults(master: ValuesOf<typeof masterMembers>): MemberFault[] {
  const faults: MemberFault[] = [];
  if (master.enable && (master.port === null) === (master.host === null)) {
    faults.push({ member: "port", expected: "either a serial port or a host" });
  }
  const wrong = master.slaves.find(({ unit }) => unit < 1 || unit > 247);
  if (master.port !== null && wrong !== undefined) {
    faults.push({ member: "slaves", expected: `units from 1 to 247, ${wrong.name} has another` });
  }
  return faults;
}

function repeatedTag(slave: ValuesOf<typeof slaveMembers>): string | null {
  const seen = new Set<string>();
  for (const { name } of slave.groups.flatMap(({ tags }) => tags)) {
    if (seen.has(name)) return name;
    seen.add(name);
  }
  return null;
}
