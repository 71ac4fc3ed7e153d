import { flag, plainName, set, type Target, taken, text } from "./read.ts";
import type { Source } from "./source.ts";

/** Where a listener accepts connections; `path` is a WebSocket's. */
interface Address {
  readonly bind: string;
  readonly port: number;
  readonly path: string | null;
}

const SHAPE =
  /^(?:[a-z+-]+:\/\/)?(?:\[(?<ipv6>[\da-f:.%\w]+)\]|(?<name>\*|[\w.-]*)):(?<port>\d{1,5})(?<path>\/\S*)?$/i;

/** Reads `scheme://host:port/path`, `host:port` and `:port`; `*` and nothing are any address. */
function addressOf(raw: string): Address | null {
  const parts = SHAPE.exec(raw)?.groups;
  if (parts === undefined) return null;
  const name = parts["ipv6"] ?? parts["name"] ?? "";
  const bind = name === "" || name === "*" ? "::" : name;
  return { bind, port: Number(parts["port"]), path: parts["path"] ?? null };
}

/** Kinds of listeners: ours, NanoMQ's group in HOCON, and its key of an address in old files. */
const KINDS = [
  { ours: "tcp", group: "tcp", type: "tcp", url: "url" },
  { ours: "tls", group: "ssl", type: "ssl", url: "tls.url" },
  { ours: "ws", group: "ws", type: "ws", url: "websocket.url" },
  { ours: "wss", group: "wss", type: "wss", url: "websocket.tls_url" },
] as const;

/** Listeners and their certificate. */
export function readListeners(source: Source, target: Target): void {
  for (const kind of KINDS) {
    const group = `listeners.${kind.group}`;
    const isOn = readSwitch(source, kind.ours, group);
    const bindKey = `${group}.bind`;
    const raw = taken(source, text, kind.url, bindKey);
    set(target, `listeners.${kind.ours}.enable`, isOn);
    if (typeof raw === "string") {
      setAddress(
        source,
        target,
        source.has(kind.url) ? kind.url : bindKey,
        raw,
        `listeners.${kind.ours}`,
      );
    }
    readExtra(source, target, kind.type, group);
  }
  readTls(source, target);
}

/** Whether the listener is on; undefined: as it is here without being told. */
function readSwitch(source: Source, ours: string, group: string): boolean | undefined {
  const enable = taken(source, flag, `${group}.enable`);
  if (ours === "tcp") {
    if (!source.isHocon || source.has("url")) return undefined;
    return source.has(group) && enable !== false;
  }
  if (source.isHocon && source.has("listeners")) return source.has(group) && enable !== false;
  if (ours === "tls") return taken(source, flag, "tls.enable") === true;
  if (ours === "ws") return taken(source, flag, "websocket.enable") === true;
  const isTlsOn = taken(source, flag, "websocket.tls_enable");
  return isTlsOn === true || (isTlsOn === undefined && source.has("websocket.tls_url"));
}

function setAddress(
  source: Source,
  target: Target,
  key: string,
  raw: string,
  listener: string,
): boolean {
  const address = addressOf(raw);
  if (address === null) {
    source.note(key, `${JSON.stringify(raw)} is no address with a port, left out`);
    return false;
  }
  set(target, `${listener}.bind`, address.bind);
  set(target, `${listener}.port`, address.port);
  if (/ws/.test(listener)) set(target, `${listener}.path`, address.path ?? "/mqtt");
  return true;
}

/** `listeners.tcp.<name> { bind = … }`: more listeners of the kind. */
function readExtra(source: Source, target: Target, type: string, group: string): void {
  for (const name of source.names(group)) {
    const key = `${group}.${name}`;
    const raw = source.isGroup(key) ? taken(source, text, `${key}.bind`) : undefined;
    if (typeof raw !== "string") continue;
    const listener: Target = {};
    if (!setAddress(source, listener, `${key}.bind`, raw, type)) continue;
    const values = listener[type];
    const enable = taken(source, flag, `${key}.enable`);
    const extra = { ...(typeof values === "object" ? values : {}), enable: enable !== false };
    const others = target["extra_listeners"];
    target["extra_listeners"] = {
      ...(typeof others === "object" ? others : {}),
      [`${type}:${plainName(name)}`]: extra,
    };
  }
}

function readTls(source: Source, target: Target): void {
  const both = (name: string) => [`tls.${name}`, `listeners.ssl.${name}`];
  set(target, "tls.key_password", taken(source, text, "tls.keypass", ...both("key_password")));
  set(target, "tls.key_file", taken(source, text, ...both("keyfile")));
  set(target, "tls.cert_file", taken(source, text, ...both("certfile")));
  set(target, "tls.ca_file", taken(source, text, ...both("cacertfile")));
  set(target, "tls.verify_peer", taken(source, flag, ...both("verify_peer")));
  const refuse = taken(source, flag, ...both("fail_if_no_peer_cert"));
  set(target, "tls.fail_if_no_peer_cert", refuse);
}
