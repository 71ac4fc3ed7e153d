import type { SecureContextOptions } from "node:tls";
import type { Config } from "../config/index.ts";
import type { Log } from "../log/index.ts";
import type { Services } from "../services/index.ts";
import type { Clock } from "../time/index.ts";

/** What the API needs of the rest of the gateway. */
export interface ApiDeps {
  readonly log: Log;
  readonly clock: Clock;
  /** What the dialects translate to; refusals are GatewayErrors. */
  readonly services: Services;
  /** Whether `clear` is the password behind `stored` (a hash or clear text); slow on purpose. */
  verifyPassword(clear: string, stored: string): Promise<boolean>;
  /**
   * Reads the key and certificate that the gateway's listeners show.
   * @throws GatewayError CONFIG_CHECK_FAILED naming the key of the file and what is wrong with it
   */
  loadTls(): Promise<SecureContextOptions>;
  readonly alarms: AlarmBell;
}

/** What raises and clears alarms by name. */
export interface AlarmBell {
  raise(name: string, message: string, details?: Record<string, number | string>): void;
  clear(name: string): void;
}

/** The slice of the configuration the API is built from. */
export interface ApiConfig {
  readonly http: Config["http"];
  readonly https: Config["https"];
}
