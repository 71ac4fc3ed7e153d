import { totalmem } from "node:os";
import type { CertificateFile } from "./alarms/index.ts";
import type { Api } from "./api/index.ts";
import type { Config, ConfigStore } from "./config/index.ts";
import type { DelayedConfig } from "./delayed/index.ts";
import { loopbackOf, type ProbeTerms } from "./health/index.ts";
import type { Listeners } from "./listeners/index.ts";
import type { RecordTable, Store } from "./store/index.ts";

/** TCP ports the gateway really listens on, by listener. */
export type Ports = Readonly<Record<string, number>>;

/** A table of the store, which is not open before its start. */
export function tableOf(store: Store, name: string): RecordTable {
  return {
    entries: () => store.table(name).entries(),
    put: (key, value) => store.table(name).put(key, value),
    delete: (key) => store.table(name).delete(key),
    committed: () => store.table(name).committed(),
  };
}

/** What waits for its time. */
export function delayedConfig({ delayed }: Config): DelayedConfig {
  const { enable, max_messages: maxMessages, max_bytes: maxBytes } = delayed;
  return { enable, maxMessages, maxBytes };
}

/** A figure that is text, null for any other. */
export const textOf = (value: unknown) => (typeof value === "string" ? value : null);

/** A figure that is yes or no, null for any other. */
export const flagOf = (value: unknown) => (typeof value === "boolean" ? value : null);

/** What the configuration has put aside, as alarms show it. */
export function putAside({ rolledBack, setAside }: ReturnType<ConfigStore["status"]>) {
  const shown = (incident: typeof rolledBack) =>
    incident === null ? null : { reason: incident.reason, path: incident.rejectedFile };
  return { rolledBack: shown(rolledBack), setAside: shown(setAside) };
}

/** Certificates that listeners show; those of bridges are their links' to watch. */
export function certificateFiles(config: Config): readonly CertificateFile[] {
  const { listeners, extra_listeners: extra, https, tls } = config;
  const isUsed = listeners.tls.enable || listeners.wss.enable || https.enable;
  const own = Object.entries(extra).flatMap(
    ([
      id,
      {
        enable,
        tls: { cert_file: path },
      },
    ]) => (enable && path !== null ? [{ use: id, path }] : []),
  );
  return isUsed && tls.cert_file !== null
    ? [{ use: "listeners", path: tls.cert_file }, ...own]
    : own;
}

/** What the broker goes by with retained messages. */
export function retainerOf({ retainer }: Config) {
  return {
    isOn: retainer.enable,
    maxPayloadBytes: retainer.max_payload_size_bytes,
    maxMessages: retainer.max_retained_messages,
    expiryS: retainer.msg_expiry_interval_s,
    isClearedByEmpty: !retainer.stop_publish_clear_msg,
  };
}

/** The ports that are really open, those of the API included. */
export function portsOf(listeners: Listeners, api: Api): Ports {
  const doors = listeners.status().map(({ name, tcpPort }) => [name, tcpPort] as const);
  const http = api.status().ports.map(({ name, tcpPort }) => [name, tcpPort] as const);
  return Object.fromEntries([...doors, ...http]);
}

/**
 * What a program on the device goes by. The doors it can go through: plain HTTP, else HTTPS; plain MQTT,
 * else TLS that asks for no certificate.
 */
export function probeTerms(
  { http, https, tls, update }: Config,
  listeners: Listeners,
  api: Api,
): ProbeTerms {
  const web = api.status().ports;
  const page = web.find(({ name }) => name === "http") ?? web.find(({ name }) => name === "https");
  const isHttps = page?.name === "https";
  const open = listeners.status();
  const plain = open.find(({ name }) => name === "tcp" || name.startsWith("tcp:"));
  const secure = tls.verify_peer ? undefined : open.find(({ name }) => name === "tls");
  const door = plain ?? secure;
  return {
    http:
      page === undefined
        ? null
        : {
            host: loopbackOf(isHttps ? https.bind : http.bind),
            tcpPort: page.tcpPort,
            isTls: isHttps,
          },
    mqtt:
      door === undefined
        ? null
        : { host: loopbackOf(door.bind), tcpPort: door.tcpPort, isTls: door === secure },
    healthyS: update.healthy_s,
  };
}

/** Ports for people. */
export function describe(ports: Ports): string {
  return Object.entries(ports)
    .map(([name, tcpPort]) => `${name} ${tcpPort}`)
    .join(", ");
}

/** What the process may use: the board's memory, or less where the service manager limits it. */
export function memoryBytes(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
