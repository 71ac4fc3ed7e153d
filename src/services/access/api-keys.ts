import { randomBytes } from "node:crypto";
import type { Config } from "../../config/index.ts";
import { GatewayError } from "../../errors/index.ts";
import type { Log } from "../../log/index.ts";
import type { Clock } from "../../time/index.ts";
import type { Configuration } from "../configuration/index.ts";
import { createBootstrap } from "./bootstrap.ts";

export type ApiKeyRole = "administrator" | "viewer" | "publisher";

/** A key as it may be shown. */
export interface ApiKey {
  readonly name: string;
  /** What is sent as the user name. */
  readonly apiKey: string;
  readonly role: ApiKeyRole;
  readonly enable: boolean;
  readonly desc: string;
  readonly createdAtMs: number;
  /** null = never. */
  readonly expiredAtMs: number | null;
  readonly isExpired: boolean;
}

/** What a change may say; what is left out stays, but for `expiredAtMs`: without it the key never expires. */
export interface ApiKeyChange {
  readonly desc?: string | undefined;
  readonly enable?: boolean | undefined;
  readonly role?: ApiKeyRole | undefined;
  readonly expiredAtMs?: number | null | undefined;
}

/** What a login needs of a key. */
export interface StoredApiKey extends ApiKey {
  /** A hash, or clear text where the operator wrote it. */
  readonly storedSecret: string;
}

/** The API keys. They are part of the configuration (`api_key.keys`); changes apply at once. */
export interface ApiKeys {
  list(): readonly ApiKey[];
  /** @throws GatewayError API_KEY_NOT_FOUND */
  get(name: string): ApiKey;
  /** What is stored of a key by what is sent as its user name. Costs a look into a map. */
  find(apiKey: string): StoredApiKey | undefined;
  /**
   * Makes a key; its secret is told here and never again.
   * @throws GatewayError API_KEY_INVALID, API_KEY_NAME_TAKEN, API_KEY_LIMIT, CONFIG_WRITE_FAILED
   */
  create(name: string, change: ApiKeyChange): Promise<ApiKey & { readonly secret: string }>;
  /** @throws GatewayError API_KEY_NOT_FOUND, CONFIG_WRITE_FAILED */
  update(name: string, change: ApiKeyChange): Promise<ApiKey>;
  /** @throws GatewayError API_KEY_NOT_FOUND, CONFIG_WRITE_FAILED */
  remove(name: string): Promise<void>;
  /**
   * Takes over the keys of `api_key.bootstrap_file`, to be called at every start. What is wrong with
   * the file is logged, and the start goes on.
   */
  loadBootstrapFile(): Promise<void>;
}

export interface ApiKeysDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly configuration: Pick<Configuration, "change" | "current">;
  verifyPassword(clear: string, stored: string): Promise<boolean>;
}

export type KeyRecord = Config["api_key"]["keys"][number];

/** Keys that can be made by the API (reference §5.2). */
const MAX_KEYS = 100;
const NAME = /^[A-Za-z]+[A-Za-z0-9_-]*$/;
const MAX_NAME_CHARS = 256;
const KEY_BYTES = 8;
const SECRET_BYTES = 32;

export function createApiKeys(deps: ApiKeysDeps): ApiKeys {
  const { clock, configuration } = deps;
  const records = () => configuration.current().api_key.keys;
  let indexed: readonly KeyRecord[] = [];
  let index = new Map<string, KeyRecord>();

  const show = (record: KeyRecord): StoredApiKey => {
    const expiredAtMs = record.expired_at_s === null ? null : record.expired_at_s * 1000;
    return {
      name: record.name,
      apiKey: record.api_key,
      role: record.role,
      enable: record.enable,
      desc: record.desc,
      createdAtMs: record.created_at_s * 1000,
      expiredAtMs,
      isExpired: expiredAtMs !== null && expiredAtMs <= clock.nowMs(),
      storedSecret: record.secret,
    };
  };

  const recordOf = (name: string, keys = records()): KeyRecord => {
    const record = keys.find((one) => one.name === name);
    if (record === undefined) throw new GatewayError("API_KEY_NOT_FOUND", { name });
    return record;
  };

  /** Whatever else changed meanwhile stays. */
  async function change(make: (keys: readonly KeyRecord[]) => readonly KeyRecord[]): Promise<void> {
    const draft = async (stored: Config) => ({
      patch: { api_key: { keys: make(stored.api_key.keys) } },
      pems: {},
    });
    await configuration.change(draft, { force: false });
  }

  return {
    list: () => records().map((record) => withoutSecret(show(record))),
    get: (name) => withoutSecret(show(recordOf(name))),

    find(apiKey) {
      const keys = records();
      if (keys !== indexed) {
        index = new Map(keys.map((record) => [record.api_key, record]));
        indexed = keys;
      }
      const record = index.get(apiKey);
      return record === undefined ? undefined : show(record);
    },

    async create(name, wanted) {
      if (!NAME.test(name) || name.length > MAX_NAME_CHARS) {
        const expected = `a letter, then letters, digits, _ and -, at most ${MAX_NAME_CHARS}`;
        throw new GatewayError("API_KEY_INVALID", { field: "name", value: name, expected });
      }
      const secret = randomBytes(SECRET_BYTES).toString("base64url");
      const record: KeyRecord = {
        name,
        api_key: randomBytes(KEY_BYTES).toString("hex"),
        secret,
        role: wanted.role ?? "administrator",
        enable: wanted.enable ?? true,
        expired_at_s: secondsOf(wanted.expiredAtMs),
        created_at_s: Math.floor(clock.nowMs() / 1000),
        desc: wanted.desc ?? "",
      };
      await change((keys) => {
        if (keys.some((one) => one.name === name)) {
          throw new GatewayError("API_KEY_NAME_TAKEN", { name });
        }
        if (keys.length >= MAX_KEYS) throw new GatewayError("API_KEY_LIMIT", { max: MAX_KEYS });
        return [...keys, record];
      });
      return { ...withoutSecret(show(recordOf(name))), secret };
    },

    async update(name, wanted) {
      await change((keys) => {
        const was = recordOf(name, keys);
        const is: KeyRecord = {
          ...was,
          desc: wanted.desc ?? was.desc,
          enable: wanted.enable ?? was.enable,
          role: wanted.role ?? was.role,
          expired_at_s: secondsOf(wanted.expiredAtMs),
        };
        return keys.map((one) => (one.name === name ? is : one));
      });
      return withoutSecret(show(recordOf(name)));
    },

    async remove(name) {
      await change((keys) => {
        recordOf(name, keys);
        return keys.filter((one) => one.name !== name);
      });
    },

    loadBootstrapFile: createBootstrap(deps, change),
  };
}

function secondsOf(ms: number | null | undefined): number | null {
  return ms === null || ms === undefined ? null : Math.floor(ms / 1000);
}

function withoutSecret({ storedSecret: _, ...shown }: StoredApiKey): ApiKey {
  return shown;
}
