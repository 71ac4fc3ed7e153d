import type { FastifyInstance } from "fastify";
import { createAccess } from "./access/index.ts";
import { createApp } from "./app.ts";
import type { ApiConfig, ApiDeps } from "./deps.ts";
import { createSockets } from "./sockets.ts";

/** How the API stands. */
export interface ApiStatus {
  /** The ports that are open: `http` is where NanoMQ's clients look, `emqx` where EMQX's do. */
  readonly ports: readonly { readonly name: "http" | "emqx"; readonly tcpPort: number }[];
  readonly connections: number;
}

/** The HTTP API: one application on one or two ports. */
export interface Api {
  /**
   * Opens the ports of `http`, or nothing when it is disabled.
   * @throws GatewayError LISTENER_BIND_FAILED naming `http` or `http.emqx`; nothing stays open then
   */
  start(signal?: AbortSignal): Promise<void>;
  /** Answers what is under way, at most for a second, and closes. */
  stop(): Promise<void>;
  status(): ApiStatus;
}

/** Builds the API for one configuration; nothing is open before `start`. */
export function createApi(deps: ApiDeps, cfg: ApiConfig): Api {
  const { http } = cfg;
  const log = deps.log.child({ part: "api" });
  const access = createAccess(
    { ...deps, log, administrator: () => deps.services.configuration.current().http },
    http,
  );
  let app: FastifyInstance | null = null;
  let ports: ApiStatus["ports"] = [];
  const sockets = createSockets((request, response) => app?.routing(request, response));

  async function stop(): Promise<void> {
    ports = [];
    await sockets.close();
    await app?.close();
    app = null;
  }

  return {
    async start(signal) {
      if (!http.enable) return;
      try {
        await access.start();
        await deps.services.apiKeys.loadBootstrapFile();
        app = await createApp({ ...deps, log }, access);
        signal?.throwIfAborted();
        const tcpPort = await sockets.open("http", http.bind, http.port);
        ports = [{ name: "http", tcpPort }];
        // Both may be configured to the same port: it is open already.
        if (http.emqx_port !== null && (http.emqx_port === 0 || http.emqx_port !== http.port)) {
          const second = await sockets.open("http.emqx", http.bind, http.emqx_port);
          ports = [...ports, { name: "emqx", tcpPort: second }];
        }
        signal?.throwIfAborted();
      } catch (err) {
        await stop();
        throw err;
      }
      log.info({ ports }, "HTTP API open");
    },
    stop,
    status: () => ({ ports, connections: sockets.connections() }),
  };
}
