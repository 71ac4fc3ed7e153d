import type { Config, ConfigPatch } from "../config/index.ts";
import { GatewayError } from "../errors/index.ts";

/** As EMQX names them; `ssl` is MQTT over TLS. */
export type ListenerType = "tcp" | "ssl" | "ws" | "wss";

/** How one listener is set; `path` counts for WebSocket, `tls` for `ssl` and `wss`. */
export interface ListenerSettings {
  readonly enable: boolean;
  readonly bind: string;
  readonly port: number;
  readonly max_connections: number;
  readonly max_connects_per_s: number | null;
  readonly path: string;
  readonly tls: Config["tls"];
}

/** A listener with its settings and how it stands. */
export interface ListenerState {
  /** `tcp:default`: type and name. */
  readonly id: string;
  readonly type: ListenerType;
  readonly name: string;
  readonly settings: ListenerSettings;
  readonly isRunning: boolean;
  readonly connections: number;
  /** The port really open; that of the settings while it is not running. */
  readonly tcpPort: number;
}

/** A change; what is left out stays. `pems` become files that take the place of their paths. */
export interface ListenerChange {
  readonly enable?: boolean;
  readonly bind?: string;
  readonly port?: number;
  readonly max_connections?: number;
  readonly max_connects_per_s?: number | null;
  readonly path?: string;
  readonly tls?: Partial<Config["tls"]>;
  readonly pems?: { readonly key?: string; readonly cert?: string; readonly ca?: string };
}

type Wanted = Pick<Config, "listeners" | "extra_listeners" | "tls">;

export interface ListenersServiceDeps {
  readonly listeners: {
    apply(next: Wanted): Promise<void>;
    restart(name: string): Promise<void>;
    status(): readonly {
      readonly name: string;
      readonly tcpPort: number;
      readonly connections: number;
    }[];
  };
  readonly store: {
    readonly running: Config;
    adopt(
      patch: ConfigPatch,
      check: (next: Config, previous: Config) => Promise<void>,
    ): Promise<readonly string[]>;
    putPem(kind: "key" | "cert" | "ca", pem: string): Promise<string>;
  };
}

/**
 * The doors for MQTT clients, changed while the gateway runs: a change is tried, and stored when it
 * works. Four are always there, called `default`; `ssl:default` and `wss:default` share one set of
 * TLS files.
 */
export interface ListenersService {
  list(): readonly ListenerState[];
  find(id: string): ListenerState | undefined;
  /** @throws GatewayError LISTENER_EXISTS, CONFIG_VALUE_INVALID, and as `change` */
  create(type: ListenerType, name: string, settings: ListenerChange): Promise<ListenerState>;
  /**
   * @throws GatewayError LISTENER_NOT_FOUND, LISTENER_BIND_FAILED, CONFIG_CHECK_FAILED,
   * CONFIG_VALUE_INVALID, CONFIG_WRITE_FAILED; then everything is as it was
   */
  change(id: string, change: ListenerChange): Promise<ListenerState>;
  /** Its clients are cut. @throws as `change`; CONFIG_CHECK_FAILED for the four that always exist */
  remove(id: string): Promise<void>;
  /** Closes it with its connections and opens it again, also when it was stopped. @throws as `change` */
  restart(id: string): Promise<void>;
}

const DEFAULTS = [
  { id: "tcp:default", type: "tcp", key: "tcp" },
  { id: "ssl:default", type: "ssl", key: "tls" },
  { id: "ws:default", type: "ws", key: "ws" },
  { id: "wss:default", type: "wss", key: "wss" },
] as const;

const PEM_KEYS = { key: "key_file", cert: "cert_file", ca: "ca_file" } as const;

export function createListenersService(deps: ListenersServiceDeps): ListenersService {
  const { listeners, store } = deps;

  function list(): ListenerState[] {
    const open = new Map(listeners.status().map((status) => [status.name, status]));
    const { listeners: own, extra_listeners: extra, tls } = store.running;
    const state = (
      id: string,
      type: ListenerType,
      settings: ListenerSettings,
      key = id,
    ): ListenerState => ({
      id,
      type,
      name: id.slice(type.length + 1),
      settings,
      isRunning: open.has(key),
      connections: open.get(key)?.connections ?? 0,
      tcpPort: open.get(key)?.tcpPort ?? settings.port,
    });
    return [
      ...DEFAULTS.map(({ id, type, key }) =>
        state(id, type, { path: "/mqtt", ...own[key], tls }, key),
      ),
      ...Object.entries(extra).map(([id, settings]) => {
        const type = typeOf(id);
        return state(id, type, settings.tls.cert_file === null ? { ...settings, tls } : settings);
      }),
    ];
  }

  function find(id: string): ListenerState | undefined {
    return list().find((one) => one.id === id);
  }

  function found(id: string): ListenerState {
    const state = find(id);
    if (state === undefined) throw new GatewayError("LISTENER_NOT_FOUND", { id });
    return state;
  }

  /** Puts a change into effect and stores it; takes it back when it cannot be stored. */
  async function commit(patch: ConfigPatch): Promise<void> {
    const before = store.running;
    let isApplied = false;
    try {
      await store.adopt(patch, async (next) => {
        await listeners.apply(next);
        isApplied = true;
      });
    } catch (err) {
      if (isApplied) await listeners.apply(before);
      throw err;
    }
  }

  /** Files for the PEM texts of a change. */
  async function tlsOf({ tls = {}, pems = {} }: ListenerChange): Promise<Partial<Config["tls"]>> {
    const files: Partial<Record<"key_file" | "cert_file" | "ca_file", string>> = {};
    for (const kind of ["key", "cert", "ca"] as const) {
      const text = pems[kind];
      if (text !== undefined) files[PEM_KEYS[kind]] = await store.putPem(kind, text);
    }
    return { ...tls, ...files };
  }

  async function change(id: string, wanted: ListenerChange): Promise<ListenerState> {
    const { settings, type } = found(id);
    const { tls: _tls, pems: _pems, path, ...plain } = wanted;
    const tls = await tlsOf(wanted);
    const isWebSocket = type === "ws" || type === "wss";
    const own = { ...plain, ...(isWebSocket && path !== undefined ? { path } : {}) };
    const fixed = DEFAULTS.find((one) => one.id === id);
    if (fixed !== undefined) await commit({ listeners: { [fixed.key]: own }, tls });
    else {
      const stored = store.running.extra_listeners[id]?.tls ?? settings.tls;
      const full = { ...settings, ...own, tls: { ...stored, ...tls } };
      await commit({ extra_listeners: { [id]: full } });
    }
    return found(id);
  }

  return {
    list,
    find,
    async create(type, name, wanted) {
      const id = `${type}:${name}`;
      if (find(id) !== undefined) throw new GatewayError("LISTENER_EXISTS", { id });
      const { tls: _tls, pems: _pems, ...plain } = wanted;
      await commit({ extra_listeners: { [id]: { ...plain, tls: await tlsOf(wanted) } } });
      return found(id);
    },
    change,
    async remove(id) {
      found(id);
      if (DEFAULTS.some((one) => one.id === id)) {
        const reason = "it is always there; stop it instead";
        throw new GatewayError("CONFIG_CHECK_FAILED", { key: "listener", value: id, reason });
      }
      await commit({ extra_listeners: { [id]: null } });
    },
    async restart(id) {
      if (found(id).isRunning) {
        await listeners.restart(DEFAULTS.find((one) => one.id === id)?.key ?? id);
      } else await change(id, { enable: true });
    },
  };
}

function typeOf(id: string): ListenerType {
  const word = id.split(":", 1)[0];
  return word === "ssl" || word === "ws" || word === "wss" ? word : "tcp";
}
