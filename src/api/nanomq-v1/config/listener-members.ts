import { type Config, MASK, SCHEMA } from "../../../config/index.ts";
import { invalid } from "../../parameters.ts";
import {
  formatListenerUrl,
  type ListenerAddress,
  type ListenerName,
  listenerUrlForm,
  parseListenerUrl,
} from "./listener-url.ts";
import { checkFormat, type Member, plain, type Section } from "./member.ts";

const PEM_FILE = { key: "key_file", cert: "cert_file", ca: "ca_file" } as const;

const TLS_ENABLE: Member = {
  section: "tls",
  name: "enable",
  keys: ["listeners.tls.enable", "listeners.wss.enable"],
  show: ({ config }) => config.listeners.tls.enable,
  // V1 has no switch of its own for secure WebSocket: it goes with TLS (reference §1.8).
  accept(value, name, change) {
    checkFormat(SCHEMA.listeners.tls.enable, value, name);
    change.set("listeners.tls.enable", value);
    change.set("listeners.wss.enable", value);
  },
};

const KEY_PASSWORD: Member = {
  section: "tls",
  name: "key_password",
  aliases: ["keypass"],
  keys: ["tls.key_password"],
  isSecret: true,
  keepsOnNull: true,
  show: ({ config }) => (config.tls.key_password === null ? null : MASK),
  accept(value, name, change) {
    checkFormat(SCHEMA.tls.key_password, value, name, true);
    change.set("tls.key_password", value === "" ? null : value);
  },
};

export const LISTENER_URL = listenerUrl(null, "url", "tcp");

export const TLS_MEMBERS: readonly Member[] = [
  TLS_ENABLE,
  listenerUrl("tls", "url", "tls"),
  KEY_PASSWORD,
  { ...pem("key", "key", ({ tls }) => (tls.key_file === null ? null : MASK)), isSecret: true },
  { ...pem("cert", "cert"), show: ({ pems }) => pems.cert },
  { ...pem("cacert", "ca"), aliases: ["ca"], show: ({ pems }) => pems.ca },
  plain("tls", "verify_peer", "tls.verify_peer", SCHEMA.tls.verify_peer, ({ tls }) => {
    return tls.verify_peer;
  }),
  plain(
    "tls",
    "fail_if_no_peer_cert",
    "tls.fail_if_no_peer_cert",
    SCHEMA.tls.fail_if_no_peer_cert,
    ({ tls }) => tls.fail_if_no_peer_cert,
  ),
];

export const WEBSOCKET_MEMBERS: readonly Member[] = [
  plain(
    "websocket",
    "enable",
    "listeners.ws.enable",
    SCHEMA.listeners.ws.enable,
    ({ listeners }) => listeners.ws.enable,
  ),
  listenerUrl("websocket", "url", "ws"),
  listenerUrl("websocket", "tls_url", "wss"),
];

function listenerUrl(section: Section | null, name: string, listener: ListenerName): Member {
  const key = `listeners.${listener}`;
  const rows = SCHEMA.listeners[listener];
  return {
    section,
    name,
    keys: [`${key}.bind`, `${key}.port`, `${key}.path`, key],
    show: ({ config }) => formatListenerUrl(listener, addressOf(config, listener)),
    accept(value, field, change) {
      const address = typeof value === "string" ? parseListenerUrl(listener, value) : null;
      if (address === null) throw invalid(field, value, listenerUrlForm(listener));
      checkFormat(rows.bind, address.bind, field);
      checkFormat(rows.port, address.tcpPort, field);
      change.set(`${key}.bind`, address.bind);
      change.set(`${key}.port`, address.tcpPort);
      if (!("path" in rows)) return;
      const path = address.path ?? rows.path.default;
      checkFormat(rows.path, path, field);
      change.set(`${key}.path`, path);
    },
  };
}

function addressOf({ listeners }: Config, listener: ListenerName): ListenerAddress {
  const cfg = listeners[listener];
  return { bind: cfg.bind, tcpPort: cfg.port, path: "path" in cfg ? cfg.path : null };
}

/** A member that holds the contents of a PEM file: null = unchanged, empty = none any more. */
function pem(
  name: string,
  kind: keyof typeof PEM_FILE,
  show: (config: Config) => unknown = () => null,
): Member {
  const key = `tls.${PEM_FILE[kind]}`;
  return {
    section: "tls",
    name,
    keys: [key],
    keepsOnNull: true,
    show: ({ config }) => show(config),
    accept(value, field, change) {
      if (typeof value !== "string") {
        throw invalid(field, kind === "key" ? MASK : value, "PEM text, or null for no change");
      }
      if (value === "") change.set(key, null);
      else change.pems[kind] = value;
    },
  };
}
