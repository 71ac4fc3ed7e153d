import { type BridgeConfig, parseServerUrl } from "../../config/index.ts";
import type { BridgesService, BridgeView } from "../../services/index.ts";
import { ApiError, formatDuration, parseDuration } from "./kit/index.ts";

/** A connector as it comes in, its shape checked; what is left out stays, or takes our default. */
export interface ConnectorBody {
  readonly enable?: boolean;
  readonly description?: string;
  readonly tags?: readonly string[];
  readonly server?: string;
  readonly proto_ver?: "v3" | "v4" | "v5";
  readonly bridge_mode?: boolean;
  readonly username?: string;
  readonly password?: string;
  readonly clientid_prefix?: string;
  readonly static_clientids?: readonly { readonly ids?: readonly string[] }[];
  readonly clean_start?: boolean;
  readonly keepalive?: string | number;
  readonly connect_timeout?: string | number;
  readonly retry_interval?: string | number;
  readonly max_inflight?: number;
  readonly ssl?: SslBody;
}

export interface SslBody {
  readonly enable?: boolean;
  readonly verify?: "verify_none" | "verify_peer";
  readonly cacertfile?: string;
  readonly certfile?: string;
  readonly keyfile?: string;
  readonly password?: string;
  readonly server_name_indication?: string;
}

/** EMQX's 15 s would cut a slow line again and again; MQTT resends on a new connection only. */
const SHORTEST_RETRY_S = 60;

const VERSION = { v3: 3, v4: 4, v5: 5 } as const;

/** The configuration of a link that `body` makes of `stored`; PEM texts become files. */
export async function linkValues(
  body: ConnectorBody,
  stored: BridgeConfig | null,
  bridges: Pick<BridgesService, "keepPem">,
): Promise<Record<string, unknown>> {
  const isSecure = body.ssl?.enable ?? isTls(stored?.server ?? null);
  const text = body.server ?? (stored === null ? undefined : showServer(stored));
  const [server, ...servers] = text === undefined ? [] : readServers(text, isSecure);
  return {
    ...stored,
    ...(text !== undefined && { server, servers }),
    ...given("enable", body.enable),
    ...given("description", body.description),
    ...given("tags", body.tags),
    ...given("bridge_bit", body.bridge_mode),
    ...given("username", body.username, orNull),
    ...given("password", body.password, orNull),
    ...given("clientid_prefix", body.clientid_prefix, orNull),
    ...given("clean_start", body.clean_start),
    ...given("max_inflight", body.max_inflight),
    ...given("proto_ver", body.proto_ver, (version) => VERSION[version]),
    ...given("keepalive_s", body.keepalive, seconds),
    ...given("connect_timeout_s", body.connect_timeout, (value) => Math.max(1, seconds(value))),
    ...given("ack_timeout_s", body.retry_interval, (value) =>
      Math.max(SHORTEST_RETRY_S, seconds(value)),
    ),
    ...given("clientid", body.static_clientids, (list) => list[0]?.ids?.[0] ?? null),
    tls: await tlsValues(body.ssl ?? {}, stored, bridges),
  };
}

async function tlsValues(
  ssl: SslBody,
  stored: BridgeConfig | null,
  bridges: Pick<BridgesService, "keepPem">,
): Promise<Record<string, unknown>> {
  const file = async (key: "ca" | "cert" | "key", value: string | undefined) => {
    if (value === undefined) return {};
    const path = value.includes("-----BEGIN ") ? await bridges.keepPem(key, value) : value;
    return { [`${key}_file`]: path === "" ? null : path };
  };
  return {
    ...stored?.tls,
    ...given("verify", ssl.verify, (verify) => verify === "verify_peer"),
    ...given("key_password", ssl.password, orNull),
    ...given("server_name", ssl.server_name_indication, (name) =>
      name === "" || name === "disable" || name === "auto" ? null : name,
    ),
    ...(await file("ca", ssl.cacertfile)),
    ...(await file("cert", ssl.certfile)),
    ...(await file("key", ssl.keyfile)),
  };
}

/** A link as EMQX shows it: its configuration and how it stands. */
export function showBridge(bridge: BridgeView, node: string) {
  return { type: "mqtt", name: bridge.name, ...showLink(bridge), ...showStatus(bridge, node) };
}

/** A link as EMQX shows a connector's configuration. */
function showLink({ config }: BridgeView) {
  const { tls } = config;
  return {
    enable: config.enable,
    description: config.description,
    tags: config.tags,
    server: showServer(config),
    proto_ver: `v${config.proto_ver}`,
    bridge_mode: config.bridge_bit,
    ...given("username", config.username ?? undefined),
    ...given("password", config.password ?? undefined),
    ...given("clientid_prefix", config.clientid_prefix ?? undefined),
    clean_start: config.clean_start,
    keepalive: formatDuration(config.keepalive_s * 1000),
    connect_timeout: formatDuration(config.connect_timeout_s * 1000),
    retry_interval: formatDuration(config.ack_timeout_s * 1000),
    max_inflight: config.max_inflight,
    pool_size: 1,
    ssl: {
      enable: isTls(config.server),
      verify: tls.verify ? "verify_peer" : "verify_none",
      ...given("cacertfile", tls.ca_file ?? undefined),
      ...given("certfile", tls.cert_file ?? undefined),
      ...given("keyfile", tls.key_file ?? undefined),
      ...given("password", tls.key_password ?? undefined),
      ...given("server_name_indication", tls.server_name ?? undefined),
    },
    resource_opts: {
      health_check_interval: "15s",
      health_check_timeout: "60s",
      start_after_created: true,
      start_timeout: "5s",
    },
  };
}

/** `status`, why it is not connected, and the same for the one node there is. */
function showStatus({ config, status }: BridgeView, node: string) {
  const shown = {
    status: statusWord(config.enable, status.state),
    ...(status.state === "connected"
      ? {}
      : { status_reason: reasonOf(config.enable, status.lastError) }),
  };
  return { ...shown, node_status: [{ node, ...shown }] };
}

export function statusWord(
  isEnabled: boolean,
  state: BridgeView["status"]["state"],
): "connected" | "connecting" | "disconnected" {
  if (!isEnabled || state === "disabled") return "disconnected";
  return state === "waiting" ? "disconnected" : state;
}

function reasonOf(isEnabled: boolean, lastError: string | null): string {
  return isEnabled ? (lastError ?? "connecting") : "disabled";
}

/** `host:port`, several with a comma between; links of other kinds than MQTT over TCP as URLs. */
function showServer(config: BridgeConfig): string {
  const urls = config.server === null ? [] : [config.server, ...config.servers];
  return urls
    .map((url) => (/^mqtts?:\/\//.test(url) ? url.replace(/^mqtts?:\/\//, "") : url))
    .join(",");
}

function readServers(text: string, isSecure: boolean): string[] {
  return text.split(",").map((part) => {
    const address = part.trim();
    const url = address.includes("://") ? address : `${isSecure ? "mqtts" : "mqtt"}://${address}`;
    if (parseServerUrl(url) === null) {
      throw new ApiError(
        400,
        "BAD_REQUEST",
        JSON.stringify({
          kind: "validation_error",
          path: "server",
          reason: "expected host:port, several with a comma between",
          value: text.slice(0, 200).toWellFormed(),
        }),
      );
    }
    // EMQX's default, also with TLS.
    return address.includes("://") || /:\d+$/.test(address) ? url : `${url}:1883`;
  });
}

function isTls(server: string | null): boolean {
  const transport = server === null ? null : parseServerUrl(server)?.transport;
  return transport === "tls" || transport === "wss";
}

const seconds = (value: string | number) => Math.round(parseDuration(value) / 1000);

const orNull = (value: string) => (value === "" ? null : value);

/** One member, or none where nothing was given. */
function given<K extends string, T, R = T>(
  key: K,
  value: T | undefined,
  read: (value: T) => R = (it) => it as unknown as R,
): Partial<Record<K, R>> {
  return value === undefined ? {} : ({ [key]: read(value) } as Partial<Record<K, R>>);
}
