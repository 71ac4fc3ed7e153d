import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ConfigStore, diskFiles, type SecretHashing } from "./config/index.ts";
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
 * Removes the file with the first password as soon as that is not the administrator's any more, now
 * and after each change, so that nobody is told a password that does not work.
 */
export function forgetFirstPassword(
  deps: AdminPasswordDeps & Pick<SecretHashing, "verifySecret">,
): void {
  const { configStore, log } = deps;
  const path = join(deps.dataDir, FIRST_PASSWORD_FILE);
  const forget = async () => {
    const text = await readFile(path, "utf8").catch(() => null);
    const stored = configStore.stored().http.password;
    if (text === null || stored === null) return;
    if (!(await deps.verifySecret(text.trim(), stored))) await diskFiles.remove(path);
  };
  const tidy = () => {
    forget().catch((err: unknown) => log.warn({ err, path }, "first password not removed"));
  };
  tidy();
  configStore.onChange((_, changed) => {
    if (changed.includes("http.password")) tidy();
  });
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
