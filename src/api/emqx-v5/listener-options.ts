import { MASK } from "../../config/index.ts";
import type { ListenerChange, ListenerState, ListenerType } from "../../services/index.ts";
import { ApiError } from "./kit/index.ts";

type Values = Readonly<Record<string, unknown>>;

/**
 * Options of EMQX that have one value here, which is shown: what the gateway does, where the option
 * means something to it, and EMQX's own default where it is about EMQX's inside.
 */
const FIXED: Values = {
  acceptors: 16,
  mountpoint: "",
  zone: "default",
  enable_authn: true,
  access_rules: ["allow all"],
  proxy_protocol: false,
  proxy_protocol_timeout: "3s",
};

const FIXED_TCP: Values = {
  active_n: 100,
  backlog: 1024,
  buffer: "4KB",
  high_watermark: "1MB",
  keepalive: "none",
  nodelay: true,
  nolinger: false,
  reuseaddr: true,
  send_timeout: "15s",
  send_timeout_close: true,
};

const FIXED_TLS: Values = {
  ciphers: [],
  client_renegotiation: false,
  depth: 10,
  enable_crl_check: false,
  gc_after_handshake: false,
  handshake_timeout: "15s",
  hibernate_after: "5s",
  honor_cipher_order: true,
  log_level: "notice",
  partial_chain: false,
  reuse_sessions: true,
  secure_renegotiate: true,
  verify_peer_ext_key_usage: null,
  versions: ["tlsv1.3", "tlsv1.2"],
};

const FIXED_WEBSOCKET: Values = {
  allow_origin_absence: true,
  check_origin_enable: false,
  check_origins: "http://localhost:18083, http://127.0.0.1:18083",
  compress: false,
  deflate_opts: {},
  fail_if_no_subprotocol: true,
  idle_timeout: "7200s",
  max_frame_size: "infinity",
  mqtt_piggyback: "multiple",
  proxy_address_header: "x-forwarded-for",
  proxy_port_header: "x-forwarded-port",
  supported_subprotocols: "mqtt, mqtt-v3, mqtt-v3.1.1, mqtt-v5",
  validate_utf8: true,
};

/** Left out of answers, and taken when they ask for nothing. */
const QUIET: Values = {
  messages_rate: "infinity",
  bytes_rate: "infinity",
  messages_burst: "0",
  bytes_burst: "0",
  max_conn_burst: "0",
};

/** Members of an answer that may come back with a change. */
const ANSWER_ONLY: ReadonlySet<string> = new Set([
  "id",
  "type",
  "name",
  "running",
  "current_connections",
]);

const LISTED = new Set(["tcp_options", "ssl_options", "websocket"]);

/** A listener as EMQX's configuration of it. */
export function shownConfig({ id, type, name, settings, ...state }: ListenerState) {
  const { tls } = settings;
  const isSecure = type === "ssl" || type === "wss";
  const isWebSocket = type === "ws" || type === "wss";
  return {
    id,
    type,
    name,
    enable: settings.enable,
    bind: shownBind(settings.bind, settings.port),
    max_connections: settings.max_connections,
    ...(settings.max_connects_per_s === null
      ? {}
      : { max_conn_rate: `${settings.max_connects_per_s}/s` }),
    ...FIXED,
    tcp_options: FIXED_TCP,
    ...(isSecure
      ? {
          ssl_options: {
            ...withoutNull(FIXED_TLS),
            ...withoutNull({
              keyfile: tls.key_file,
              certfile: tls.cert_file,
              cacertfile: tls.ca_file,
              password: tls.key_password === null ? null : MASK,
            }),
            verify: tls.verify_peer ? "verify_peer" : "verify_none",
            fail_if_no_peer_cert: tls.fail_if_no_peer_cert,
          },
        }
      : {}),
    ...(isWebSocket ? { websocket: { ...FIXED_WEBSOCKET, mqtt_path: settings.path } } : {}),
    running: state.isRunning,
    current_connections: state.connections,
  };
}

/**
 * What a configuration of EMQX's asks for. An option the gateway has not must have the value that
 * `shownConfig` tells.
 * @throws ApiError 400 BAD_REQUEST naming the option
 */
export function readConfig(type: ListenerType, body: Values): ListenerChange {
  const change: { -readonly [K in keyof ListenerChange]: ListenerChange[K] } = {};
  for (const [name, value] of Object.entries(body)) {
    if (ANSWER_ONLY.has(name) || LISTED.has(name)) continue;
    if (name === "enable") change.enable = boolOf(name, value);
    else if (name === "bind") Object.assign(change, readBind(value));
    else if (name === "max_connections") change.max_connections = readMaximum(value);
    else if (name === "max_conn_rate") change.max_connects_per_s = readRate(value);
    else requireFixed("", { ...FIXED, ...QUIET }, name, value);
  }
  for (const [name, value] of members(body, "tcp_options")) {
    requireFixed("tcp_options.", FIXED_TCP, name, value);
  }
  const isSecure = type === "ssl" || type === "wss";
  const isWebSocket = type === "ws" || type === "wss";
  if (isSecure) Object.assign(change, readTls(members(body, "ssl_options")));
  else if (members(body, "ssl_options").length > 0) throw refused("ssl_options", "only for TLS");
  for (const [name, value] of members(body, "websocket")) {
    if (!isWebSocket) throw refused("websocket", "only for WebSocket listeners");
    if (name === "mqtt_path") change.path = textOf("websocket.mqtt_path", value);
    else requireFixed("websocket.", FIXED_WEBSOCKET, name, value);
  }
  return change;
}

function readTls(given: readonly (readonly [string, unknown])[]): ListenerChange {
  const tls: Record<string, unknown> = {};
  const pems: Record<string, string> = {};
  const files = { keyfile: "key", certfile: "cert", cacertfile: "ca" } as const;
  for (const [name, value] of given) {
    const key = `ssl_options.${name}`;
    if (name === "keyfile" || name === "certfile" || name === "cacertfile") {
      const text = textOf(key, value);
      const kind = files[name];
      if (text.includes("-----BEGIN ")) pems[kind] = text;
      else tls[`${kind}_file`] = text === "" ? null : text;
    } else if (name === "password") {
      const text = textOf(key, value);
      if (text !== MASK) tls["key_password"] = text === "" ? null : text;
    } else if (name === "verify") {
      if (value !== "verify_peer" && value !== "verify_none") {
        throw refused(key, "expected verify_peer or verify_none");
      }
      tls["verify_peer"] = value === "verify_peer";
    } else if (name === "fail_if_no_peer_cert") {
      tls["fail_if_no_peer_cert"] = boolOf(key, value);
    } else requireFixed("ssl_options.", FIXED_TLS, name, value);
  }
  return { tls, pems };
}

function requireFixed(prefix: string, table: Values, name: string, value: unknown): void {
  const key = `${prefix}${name}`;
  if (!Object.hasOwn(table, name)) throw refused(key, "there is no such option here");
  if (JSON.stringify(plain(value)) === JSON.stringify(plain(table[name]))) return;
  throw refused(key, `only ${JSON.stringify(table[name])} can be had`);
}

/** Lists whose order means nothing. */
function plain(value: unknown): unknown {
  return Array.isArray(value) ? value.map(String).sort() : value;
}

function readBind(value: unknown): { bind: string; port: number } {
  const text = typeof value === "number" ? String(value) : textOf("bind", value);
  const [, host = "", digits] = /^(?:(.*):)?(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) {
    throw refused("bind", 'expected a port, or an address and a port like "0.0.0.0:1883"');
  }
  const bind = host.replace(/^\[(.*)\]$/, "$1");
  return { bind: bind === "" ? "::" : bind, port };
}

function shownBind(bind: string, port: number): string {
  return bind.includes(":") ? `[${bind}]:${port}` : `${bind}:${port}`;
}

function readMaximum(value: unknown): number {
  if (value === "infinity") return 1_000_000;
  const number = typeof value === "string" && /^\d{1,9}$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number)) return number;
  throw refused("max_connections", 'expected a whole number or "infinity"');
}

function readRate(value: unknown): number | null {
  if (value === "infinity") return null;
  const [, count, seconds = "1"] = /^(\d{1,7})\/(\d{0,3})s$/.exec(String(value)) ?? [];
  const rate = Number(count) / Number(seconds === "" ? "1" : seconds);
  if (Number.isInteger(rate) && rate > 0) return rate;
  throw refused("max_conn_rate", 'expected whole connections per second like "100/s"');
}

function members(body: Values, name: string): readonly (readonly [string, unknown])[] {
  const value = body[name];
  if (value === undefined) return [];
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return Object.entries(value);
  }
  throw refused(name, "expected an object");
}

function boolOf(name: string, value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw refused(name, "expected true or false");
}

function textOf(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  throw refused(name, "expected text");
}

function withoutNull(values: Values): Values {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));
}

function refused(option: string, reason: string): ApiError {
  return new ApiError(400, "BAD_REQUEST", `${option}: ${reason}`);
}
