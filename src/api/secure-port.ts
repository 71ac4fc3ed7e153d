import { isGatewayError, reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Timer } from "../time/index.ts";
import type { ApiConfig, ApiDeps } from "./deps.ts";
import type { Sockets } from "./sockets.ts";

/** How often files that cannot be used are looked at again. */
const RETRY_MS = 60_000;

/** Listeners of MQTT have theirs beside it. */
const ALARM = "listener_tls/https";

/** The port of the API that speaks TLS. */
export interface SecurePort {
  /**
   * Opens it. Files that cannot be used leave it closed, with an alarm, and are tried again: they must
   * not keep the rest of the gateway from starting.
   * @throws GatewayError LISTENER_BIND_FAILED
   */
  start(): Promise<void>;
  /** Resolves when nothing is under way that could still open it; its socket is the caller's to close. */
  stop(): Promise<void>;
  /**
   * Reads the files again, for new connections. Those that cannot be used leave it as it is.
   * @throws GatewayError CONFIG_CHECK_FAILED, LISTENER_BIND_FAILED
   */
  renew(): Promise<void>;
  /** Where it listens, null while it does not. */
  tcpPort(): number | null;
}

export function createSecurePort(
  deps: Pick<ApiDeps, "clock" | "loadTls" | "alarms"> & { readonly log: Log },
  sockets: Sockets,
  cfg: ApiConfig["https"],
): SecurePort {
  let tcpPort: number | null = null;
  let timer: Timer | null = null;
  let isStopped = false;
  let trouble: string | null = null;
  let turn: Promise<unknown> = Promise.resolve();

  async function load(): Promise<void> {
    const material = await deps.loadTls();
    if (isStopped) return;
    if (tcpPort !== null) sockets.renew(material);
    else tcpPort = await sockets.open("https", cfg.bind, cfg.port, material);
    if (trouble === null) return;
    trouble = null;
    deps.alarms.clear(ALARM);
    deps.log.info({ tcpPort }, "the API is open over TLS, with new files");
  }

  function note(err: unknown): void {
    const reason = reasonOf(err);
    if (reason === trouble) return;
    trouble = reason;
    const message =
      tcpPort === null
        ? "the API over TLS stays closed"
        : "the API's TLS files cannot be used, the old ones stay";
    deps.log.error({ err: reason }, message);
    deps.alarms.raise(ALARM, `${message}: ${reason}`, { listener: "https" });
  }

  /** One after the other: two at a time would open it twice. */
  function inTurn(task: () => Promise<void>): Promise<void> {
    const done = turn.then(task);
    turn = done.catch(() => undefined);
    return done;
  }

  return {
    async start() {
      if (!cfg.enable) return;
      isStopped = false;
      try {
        await inTurn(load);
      } catch (err) {
        if (isGatewayError(err, "LISTENER_BIND_FAILED")) throw err;
        note(err);
      }
      timer = deps.clock.every(RETRY_MS, () => {
        if (tcpPort === null) inTurn(load).catch(note);
      });
    },
    async stop() {
      isStopped = true;
      timer?.cancel();
      timer = null;
      await turn;
      tcpPort = null;
    },
    async renew() {
      if (timer === null) return;
      try {
        await inTurn(load);
      } catch (err) {
        note(err);
        throw err;
      }
    },
    tcpPort: () => tcpPort,
  };
}
