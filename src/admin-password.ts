import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { type ConfigStore, diskFiles } from "./config/index.ts";
import type { Log } from "./log/index.ts";

interface AdminPasswordDeps {
  readonly log: Log;
  readonly configStore: ConfigStore;
  readonly dataDir: string;
}

/** Name of the file in the data directory that tells the first password, readable by its owner. */
const FIRST_PASSWORD_FILE = "admin-password";

/**
 * Makes a password where the administrator has none, so that there is no way to run without one:
 * the configuration gets its hash, and the file `admin-password` in the data directory the text.
 */
export async function ensureAdminPassword(deps: AdminPasswordDeps): Promise<void> {
  if (deps.configStore.running.http.password !== null) return;
  await resetAdminPassword(deps);
  const path = join(deps.dataDir, FIRST_PASSWORD_FILE);
  deps.log.warn({ path }, "administrator's password made; read it there and delete the file");
}

/**
 * Gives the administrator a new random password and returns it.
 * @throws GatewayError CONFIG_CHECK_FAILED when the environment sets the password, CONFIG_WRITE_FAILED
 */
export async function resetAdminPassword(deps: AdminPasswordDeps): Promise<string> {
  const password = randomBytes(12).toString("base64url");
  // The text is there before the hash counts: a power cut in between must not lock anybody out.
  await diskFiles.write(join(deps.dataDir, FIRST_PASSWORD_FILE), `${password}\n`);
  await deps.configStore.adopt({ http: { password } });
  return password;
}
