/** What somebody may put on a boot partition as `tidegate.yaml`, and what is to become of it. */
export interface ProvisioningFile {
  readonly name: string;
  readonly content: string | Buffer;
  /** `either`: cut in its middle, it may still be a whole file or none; never anything else. */
  readonly verdict: "applied" | "refused" | "either";
  /** What the result says beside that. */
  readonly says?: string;
}

/** The serial of the configuration that is in force on the device. */
export const SERIAL_IN_FORCE = 5;

/** A file as a user writes it. */
export const GOOD = `# Plant 7, line 1
provisioning:
  serial: 6
msq_len: 4096 # two shifts
http:
  password: panel-secret
auth:
  users:
    - {username: press, password: press-secret}
    - {username: oven, password: oven-secret}
bridges:
  cloud:
    server: mqtts://cloud.example:8883
    username: plant-7
    password: cloud-secret
    forwards: [{local_topic: "plant/#"}]
`;

const MIB = 1_048_576;

const applied = (name: string, content: string | Buffer): ProvisioningFile => ({
  name,
  content,
  verdict: "applied",
});
const refused = (name: string, content: string | Buffer, says?: string): ProvisioningFile => ({
  name,
  content,
  verdict: "refused",
  ...(says === undefined ? {} : { says }),
});

/** A comment that fills up a file to `bytes`. */
function filled(bytes: number): string {
  return `msq_len: 7\n#${"x".repeat(bytes - 12)}`;
}

/** Bytes without any order, the same for each seed. */
function noise(seed: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed * 2_654_435_761 + 1;
  for (let at = 0; at < length; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

function withNul(at: number): Buffer {
  const bytes = Buffer.from(GOOD);
  bytes[at] = 0;
  return bytes;
}

const WRONG_TYPES: readonly [yaml: string, says: string][] = [
  ["msq_len: many", "msq_len: many is not valid"],
  ["msq_len: 0", "msq_len: 0 is not valid"],
  ["msq_len: 1.5", "msq_len: 1.5 is not valid"],
  ["msq_len: [1]", "msq_len: a list is not valid"],
  ["msq_len: {a: 1}", "msq_len"],
  ["msq_len: null", "msq_len: null is not valid"],
  ["http: 8081", "http: ****** is not valid"],
  ["http: {port: '8081'}", 'http.port: "8081" is not valid'],
  ["http: {port: 70000}", "http.port: 70000 is not valid"],
  ["http: {password: 12345}", "http.password: ****** is not valid"],
  ["http: {pasword: x}", "did you mean http.password?"],
  ["listeners: {tcp: {enable: yes}}", "listeners.tcp.enable: yes is not valid"],
  ["listeners: {tcp: {bind: 300.1.1.1}}", "listeners.tcp.bind"],
  ["listeners: []", "listeners: a list is not valid"],
  ["auth: {users: {username: a}}", "auth.users: an object is not valid"],
  ["auth: {users: [{username: a, password: x}, {username: a, password: y}]}", "auth.users"],
  ["bridges: {cloud: {server: ftp://x}}", "bridges.cloud.server"],
  ["bridges: {cloud: {}}", "bridges.cloud.server"],
  ["provisioning: 7", "provisioning: 7 is not valid"],
  ["provisioning: {serial: six}", "provisioning.serial: six is not valid"],
  ["provisioning: {serial: -1}", "provisioning.serial: -1 is not valid"],
  ["provisioning: {serial: 4}", "provisioning.serial: 4 is older"],
  ["provisioning: {serial: 0}", "provisioning.serial: 0 is older"],
  ["provisioning: {serial: 1e99}", "provisioning.serial"],
  ["colour: blue", "colour: unknown key with value blue"],
  ["__proto__: {msq_len: 1}", "__proto__"],
  ["constructor: {prototype: 1}", "constructor"],
  ["tls: {key_file: /none, cert_file: /none}\nlisteners: {tls: {enable: true}}", "tls.cert_file"],
  ["listeners: {tls: {enable: true}}", "tls.cert_file"],
  ["listeners: {tcp: {port: 8081}}", "another listener is configured on this port"],
  [
    "bridges: {c: {server: mqtt://h, forwards: ['a/#'], subscription: [{topic: 'a/#'}]}}",
    "bridges.c",
  ],
];

const NO_YAML: readonly [name: string, content: string][] = [
  ["a text", "just a text"],
  ["a list", "- a\n- b\n"],
  ["a number", "42\n"],
  ["tabs", "http:\n\tport: 1\n"],
  ["an open bracket", "http: {port: 1\n"],
  ["an open quote", 'http: {password: "x\n'],
  ["a key twice", "msq_len: 1\nmsq_len: 2\n"],
  ["two documents", "msq_len: 1\n---\nmsq_len: 2\n"],
  ["a tag", "msq_len: !!js/function 'function () {}'\n"],
  ["an alias without anchor", "msq_len: *a\n"],
  ["aliases that multiply", bomb()],
  ["deep nesting", "[".repeat(100_000)],
  ["deep indentation", Array.from({ length: 500 }, (_, i) => `${" ".repeat(i)}a:`).join("\n")],
  ["JSON that is cut", '{"http": {"port": 1'],
  ["an HTML page", "<!DOCTYPE html><html><body>Sign in to the Wi-Fi</body></html>"],
  ["an XML file", '<?xml version="1.0"?><a/>'],
  ["a shell script", "#!/bin/sh\nrm -rf /\n"],
  ["a control character", "msq_len: 1\u0007\n"],
];

function bomb(): string {
  const lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"];
  for (const [from, to] of ["ab", "bc", "cd", "de", "ef", "fg"].map((pair) => [...pair])) {
    lines.push(`${to}: &${to} [${`*${from}, `.repeat(9)}*${from}]`);
  }
  return lines.join("\n");
}

/** More than a hundred files, from good ones to hostile ones. */
export const PROVISIONING_FILES: readonly ProvisioningFile[] = [
  applied("a good file", GOOD),
  applied("an empty file", ""),
  applied("comments only", "# nothing yet\n"),
  applied("no serial at all", "msq_len: 1\n"),
  applied("the same serial as in force", `provisioning: {serial: ${SERIAL_IN_FORCE}}\n`),
  applied("the highest serial", "provisioning: {serial: 9007199254740991}\n"),
  applied("a byte order mark", `\ufeff${GOOD}`),
  applied("CRLF", GOOD.replaceAll("\n", "\r\n")),
  applied("byte order mark and CRLF", `\ufeff${GOOD.replaceAll("\n", "\r\n")}`),
  applied("JSON", '{"msq_len": 8, "http": {"password": "x"}}'),
  applied("no line end at the end", "msq_len: 9"),
  applied("spaces at the ends of lines", "msq_len: 9   \n   \n"),
  applied("letters of all kinds", "auth: {users: [{username: Öfen, password: Schlüssel}]}\n"),
  applied("exactly 1 MiB", filled(MIB)),
  refused("one byte over 1 MiB", filled(MIB + 1), "expected at most 1048576"),
  refused("10 MB", filled(10_000_000), "expected at most 1048576"),
  refused("1 MiB of NUL", Buffer.alloc(MIB), "control character"),
  refused("4 KiB of NUL, as a power cut leaves them", Buffer.alloc(4096), "control character"),
  refused("UTF-16", Buffer.from(`\ufeff${GOOD}`, "utf16le"), "UTF-8"),
  refused("Latin-1", Buffer.from("http: {password: Schl\xfcssel}\n", "latin1"), "UTF-8"),
  refused(
    "a lone carriage return in a text",
    "http: {password: 'a\u0000b'}\n",
    "control character",
  ),
  ...WRONG_TYPES.map(([yaml, says]) => refused(yaml.slice(0, 60), `${yaml}\n`, says)),
  ...NO_YAML.map(([name, content]) => refused(name, content, "tidegate.yaml is not valid YAML")),
  ...[0, 17, 40, 111, GOOD.length - 1].map((at) => refused(`NUL at ${at}`, withNul(at))),
  ...Array.from({ length: 10 }, (_, seed) => refused(`noise ${seed}`, noise(seed + 1, 2000))),
  ...Array.from({ length: 25 }, (_, n): ProvisioningFile => {
    const at = Math.round(((n + 1) / 26) * GOOD.length);
    return { name: `cut after ${at} bytes`, content: GOOD.slice(0, at), verdict: "either" };
  }),
];
