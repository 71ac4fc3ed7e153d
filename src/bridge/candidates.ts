import { type BridgeConfig, parseServerUrl, type ServerUrl } from "../config/index.ts";

/**
 * The cloud brokers of a bridge in the order of preference. A dial that fails moves on to the next;
 * once all of them have failed, the back-off is due.
 */
export class Candidates {
  readonly #servers: readonly ServerUrl[];
  #index = 0;
  #failures = 0;

  constructor(cfg: Pick<BridgeConfig, "server" | "servers">) {
    const urls = cfg.server === null ? [] : [cfg.server, ...cfg.servers];
    this.#servers = urls.map(parseServerUrl).filter((it) => it !== null);
  }

  /** The one to dial; null when none is configured. */
  get current(): ServerUrl | null {
    return this.#servers[this.#index] ?? null;
  }

  get first(): ServerUrl | null {
    return this.#servers[0] ?? null;
  }

  get isFirst(): boolean {
    return this.#index === 0;
  }

  /** The dial or the connection failed: whether another one is to be tried at once. */
  failed(): boolean {
    this.#failures += 1;
    if (this.#servers.length === 0) return false;
    this.#index = (this.#index + 1) % this.#servers.length;
    return this.#failures % this.#servers.length !== 0;
  }

  /** Connected. */
  succeeded(): void {
    this.#failures = 0;
  }

  /** The next dial goes to the first again. */
  returnToFirst(): void {
    this.#index = 0;
    this.#failures = 0;
  }
}
