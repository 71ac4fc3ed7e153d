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
}

/** The slice of the configuration the API is built from. */
export interface ApiConfig {
  readonly http: Config["http"];
}
