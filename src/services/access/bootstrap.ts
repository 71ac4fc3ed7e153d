import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { reasonOf } from "../../errors/index.ts";
import type { ApiKeyRole, ApiKeysDeps, KeyRecord } from "./api-keys.ts";

/** One line of the file. */
interface BootstrapKey {
  readonly apiKey: string;
  readonly secret: string;
  readonly role: ApiKeyRole;
}

const ROLES: readonly string[] = ["administrator", "viewer", "publisher"] satisfies ApiKeyRole[];
const MAX_FILE_BYTES = 262_144;
const MAX_KEYS = 500;
/** Longest key and secret the configuration holds. */
const MAX_KEY_CHARS = 1_024;
const MAX_SECRET_CHARS = 4_096;

type Change = (make: (keys: readonly KeyRecord[]) => readonly KeyRecord[]) => Promise<void>;

/**
 * Takes over the keys of `api_key.bootstrap_file` (reference §2.4): a key that is stored already, by
 * whatever way, gets the secret and role of its line; nothing is written when nothing differs. Keys
 * whose line is gone stay.
 */
export function createBootstrap(deps: ApiKeysDeps, change: Change): () => Promise<void> {
  const { clock, configuration } = deps;
  const log = deps.log.child({ part: "api" });

  async function isStored(key: BootstrapKey): Promise<boolean> {
    const record = configuration.current().api_key.keys.find((one) => one.api_key === key.apiKey);
    if (record?.role !== key.role) return false;
    return deps.verifyPassword(key.secret, record.secret);
  }

  return async () => {
    const path = configuration.current().api_key.bootstrap_file;
    if (path === null) return;
    try {
      const { keys, fault } = parseBootstrap(await readStart(path));
      if (fault !== null) log.error({ path, ...fault }, "API key file: loading ends at this line");
      const news: BootstrapKey[] = [];
      for (const key of keys.values()) if (!(await isStored(key))) news.push(key);
      if (news.length > 0) {
        const nowS = Math.floor(clock.nowMs() / 1000);
        await change((stored) => withKeys(stored, news, nowS));
      }
      log.info({ path, keys: keys.size, changed: news.length }, "API key file loaded");
    } catch (err) {
      log.error({ path, err: reasonOf(err) }, "API key file cannot be loaded");
    }
  };
}

/** The lines up to the first that is none; of a repeated key the last counts. */
export function parseBootstrap(text: string): {
  readonly keys: ReadonlyMap<string, BootstrapKey>;
  readonly fault: { readonly line: number; readonly reason: string } | null;
} {
  const keys = new Map<string, BootstrapKey>();
  for (const [i, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "") continue;
    const fault = (reason: string) => ({ keys, fault: { line: i + 1, reason } });
    const [apiKey = "", secret = "", role = "administrator", ...more] = line.split(":");
    if (apiKey === "" || secret === "" || more.length > 0) {
      return fault("expected key:secret or key:secret:role");
    }
    if (!isRole(role)) return fault("the role is none of administrator, viewer and publisher");
    if (apiKey.length > MAX_KEY_CHARS || secret.length > MAX_SECRET_CHARS) {
      return fault("key or secret is too long");
    }
    if (keys.size >= MAX_KEYS && !keys.has(apiKey)) return fault(`more than ${MAX_KEYS} keys`);
    keys.set(apiKey, { apiKey, secret, role });
  }
  return { keys, fault: null };
}

function withKeys(
  stored: readonly KeyRecord[],
  news: readonly BootstrapKey[],
  nowS: number,
): readonly KeyRecord[] {
  const byKey = new Map(stored.map((record) => [record.api_key, record]));
  for (const { apiKey, secret, role } of news) {
    const was = byKey.get(apiKey);
    const digest = createHash("sha512").update(apiKey).digest("hex").slice(0, 16);
    byKey.set(apiKey, {
      ...(was ?? {
        name: `from_bootstrap_file_${digest}`,
        api_key: apiKey,
        enable: true,
        expired_at_s: null,
        created_at_s: nowS,
        desc: "Bootstrapped From File",
      }),
      secret,
      role,
    });
  }
  return [...byKey.values()];
}

async function readStart(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    if (size > MAX_FILE_BYTES) throw new Error(`it is larger than ${MAX_FILE_BYTES} bytes`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

function isRole(text: string): text is ApiKeyRole {
  return ROLES.includes(text);
}
