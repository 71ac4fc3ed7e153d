import { type Config, MASK, SCHEMA } from "../../../config/index.ts";
import { invalid } from "../../parameters.ts";
import { BRIDGE_MEMBERS } from "./bridge-members.ts";
import { LISTENER_URL, TLS_MEMBERS, WEBSOCKET_MEMBERS } from "./listener-members.ts";
import { checkFormat, type Member, plain } from "./member.ts";

const BYTES_PER_KIB = 1024;

/** What a port of 0 means to NanoMQ. */
const NANOMQ_HTTP_PORT = 8081;

/** Members of the configuration object in the order of the specification; ours come last. */
export const MEMBERS: readonly Member[] = [
  LISTENER_URL,
  nanomq("num_taskq_thread"),
  nanomq("max_taskq_thread"),
  nanomq("parallel"),
  nanomq("property_size"),
  plain(null, "msq_len", "msq_len", SCHEMA.msq_len, (config) => config.msq_len),
  nanomq("qos_duration"),
  plain(
    null,
    "allow_anonymous",
    "auth.allow_anonymous",
    SCHEMA.auth.allow_anonymous,
    ({ auth }) => auth.allow_anonymous,
  ),
  nanomq("daemon"),
  ...TLS_MEMBERS,
  ...WEBSOCKET_MEMBERS,
  http("enable"),
  httpPort(),
  http("username"),
  httpPassword(),
  http("auth_type"),
  ...BRIDGE_MEMBERS,
  kib("max_packet_size", "max_packet_size_bytes"),
  kib("client_max_packet_size", "client_max_packet_size_bytes"),
];

function nanomq(name: keyof Config["nanomq"]): Member {
  return plain(null, name, `nanomq.${name}`, SCHEMA.nanomq[name], (config) => config.nanomq[name]);
}

function http(name: "enable" | "port" | "username" | "auth_type"): Member {
  const row = SCHEMA.http[name];
  return plain("http_server", name, `http.${name}`, row, (config) => config.http[name]);
}

function httpPort(): Member {
  const inner = http("port");
  return {
    ...inner,
    accept: (value, field, change) =>
      inner.accept(value === 0 ? NANOMQ_HTTP_PORT : value, field, change),
  };
}

function httpPassword(): Member {
  return {
    section: "http_server",
    name: "password",
    keys: ["http.password"],
    isSecret: true,
    show: ({ config }) => (config.http.password === null ? null : MASK),
    accept(value, field, change) {
      checkFormat(SCHEMA.http.password, value, field, true);
      change.set("http.password", value);
    },
  };
}

/** A size NanoMQ counts in KiB. */
function kib(name: string, key: "max_packet_size_bytes" | "client_max_packet_size_bytes"): Member {
  return {
    section: null,
    name,
    keys: [`mqtt.${key}`],
    show: ({ config }) => Math.floor(config.mqtt[key] / BYTES_PER_KIB),
    accept(value, field, change) {
      const bytes = typeof value === "number" ? value * BYTES_PER_KIB : Number.NaN;
      if (!Number.isInteger(value) || SCHEMA.mqtt[key].format.faults(bytes, field).length > 0) {
        throw invalid(field, value, "a whole number of KiB from 1 to 262143");
      }
      change.set(`mqtt.${key}`, bytes);
    },
  };
}
