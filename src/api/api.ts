import type { FastifyInstance } from "fastify";
import { createAccess } from "./access/index.ts";
import { createApp } from "./app.ts";
import type { ApiConfig, ApiDeps } from "./deps.ts";
import { createSecurePort } from "./secure-port.ts";
import { createSockets } from "./sockets.ts";

/** How the API stands. */
export interface ApiStatus {
  /**
   * The ports that are open: `http` is where NanoMQ's clients look, `emqx` where EMQX's do, `https`
   * speaks TLS.
   */
  readonly ports: readonly {
    readonly name: "http" | "emqx" | "https";
    readonly tcpPort: number;
  }[];
  readonly connections: number;
}

/** The HTTP API: one application on up to three ports. */
export interface Api {
  /**
   * Opens the ports of `http` and `https` that are enabled. TLS files that cannot be used leave `https`
   * closed until they can.
   * @throws GatewayError LISTENER_BIND_FAILED naming `http`, `http.emqx` or `https`; nothing stays open
   */
  start(signal?: AbortSignal): Promise<void>;
  /**
   * Reads the TLS files again and uses them for new connections.
   * @throws GatewayError CONFIG_CHECK_FAILED naming the file; then those before stay in use
   */
  reloadTls(): Promise<void>;
  /** Answers what is under way, at most for a second, and closes. */
  stop(): Promise<void>;
  status(): ApiStatus;
}

/** Builds the API for one configuration; nothing is open before `start`. */
export function createApi(deps: ApiDeps, cfg: ApiConfig): Api {
  const { http, https } = cfg;
  const log = deps.log.child({ part: "api" });
  const access = createAccess(
    { ...deps, log, administrator: () => deps.services.configuration.current().http },
    http,
  );
  let app: FastifyInstance | null = null;
  let plain: ApiStatus["ports"] = [];
  const sockets = createSockets((request, response) => app?.routing(request, response));
  const secure = createSecurePort({ ...deps, log }, sockets, https);

  function ports(): ApiStatus["ports"] {
    const tcpPort = secure.tcpPort();
    return tcpPort === null ? plain : [...plain, { name: "https", tcpPort }];
  }

  async function openPlain(): Promise<void> {
    const tcpPort = await sockets.open("http", http.bind, http.port);
    plain = [{ name: "http", tcpPort }];
    // Both may be configured to the same port: it is open already.
    if (http.emqx_port === null || (http.emqx_port !== 0 && http.emqx_port === http.port)) return;
    const second = await sockets.open("http.emqx", http.bind, http.emqx_port);
    plain = [...plain, { name: "emqx", tcpPort: second }];
  }

  async function stop(): Promise<void> {
    plain = [];
    await secure.stop();
    await sockets.close();
    await app?.close();
    app = null;
  }

  return {
    async start(signal) {
      if (!http.enable && !https.enable) return;
      try {
        await access.start();
        await deps.services.apiKeys.loadBootstrapFile();
        app = await createApp({ ...deps, log }, access);
        signal?.throwIfAborted();
        if (http.enable) await openPlain();
        await secure.start();
        signal?.throwIfAborted();
      } catch (err) {
        await stop();
        throw err;
      }
      log.info({ ports: ports() }, "HTTP API open");
    },
    stop,
    reloadTls: () => secure.renew(),
    status: () => ({ ports: ports(), connections: sockets.connections() }),
  };
}
