import type { Config } from "../../config/index.ts";
import type { Log } from "../../log/index.ts";
import type { PartChecks } from "./bridge-check.ts";
import { checkConfig } from "./checks.ts";
import type { ConfigPatch, ConfigStatus, ConfigStore, PemKind } from "./config-store.ts";
import { createReadPem, type ReadPem } from "./pem-files.ts";

export interface ConfigurationDeps {
  readonly log: Log;
  readonly store: ConfigStore;
  /** TCP ports this process listens on. */
  heldPorts(): Iterable<number>;
  readonly parts: PartChecks;
}

/** A change somebody wants. */
export interface ConfigDraft {
  /** `http.password` is clear text here; the store hashes it. */
  readonly patch: ConfigPatch;
  /** PEM texts to keep in files; they become `tls.key_file`, `tls.cert_file` and `tls.ca_file`. */
  readonly pems: Readonly<Partial<Record<PemKind, string>>>;
}

/** The texts behind the TLS files that are no secret; null where there is none or it is unreadable. */
export interface PemTexts {
  readonly cert: string | null;
  readonly ca: string | null;
}

/** The configuration as the dialects see and change it. */
export interface Configuration {
  /** What this process started with; a change shows here after the restart that applies it. */
  running(): Config;
  /** What applies now: as `running`, with the changes of keys that need no restart. */
  current(): Config;
  status(): ConfigStatus;
  /** Keeps the change that is on trial. @returns whether there was one */
  confirm(): Promise<boolean>;
  pemTexts(config: Config): Promise<PemTexts>;
  /**
   * Changes the stored configuration, one change after the other: `draft` is made from what is
   * stored then, validated, checked against this machine and the other values, and written.
   * @param options.force accept a change that locks the caller out of the API
   * @param options.confirmS seconds after the restart in which it must be confirmed, or it comes back
   * @returns the changed keys; none means that nothing differs and nothing was written
   * @throws GatewayError CONFIG_CHECK_FAILED or CONFIG_VALUE_INVALID (canonical key, value),
   * CONFIG_WRITE_FAILED; nothing is written then. Whatever `draft` throws.
   */
  change(
    draft: (stored: Config) => Promise<ConfigDraft>,
    options: ChangeOptions,
  ): Promise<readonly string[]>;
}

interface ChangeOptions {
  readonly force: boolean;
  readonly confirmS?: number | undefined;
}

const PEM_KEY = { key: "key_file", cert: "cert_file", ca: "ca_file" } as const;

const PEM_KINDS = ["key", "cert", "ca"] as const;

/** Ends a rehearsal: everything was checked and nothing is to be written yet. */
class RehearsalPassed extends Error {}

/** @param running what the parts of this process were built from */
export function createConfiguration(deps: ConfigurationDeps, running: Config): Configuration {
  const { store, log } = deps;
  let lastChange: Promise<unknown> = Promise.resolve();

  async function apply(
    draft: ConfigDraft,
    { force, confirmS }: ChangeOptions,
  ): Promise<readonly string[]> {
    const { patch } = draft;
    const check = (read: ReadPem) => (next: Config, previous: Config) =>
      checkConfig(next, previous, {
        read,
        held: new Set(deps.heldPorts()),
        parts: deps.parts,
        force,
      });
    const kinds = PEM_KINDS.filter((kind) => draft.pems[kind] !== undefined);
    if (kinds.length === 0) return store.change(patch, check(createReadPem()), { confirmS });

    // PEM texts become files before the change that names them. A refusal must leave nothing
    // behind, so the whole change is checked once with the texts still in memory.
    await rehearse(store, draft, patch, check);
    const files: Record<string, string> = {};
    for (const kind of kinds) {
      files[PEM_KEY[kind]] = await store.putPem(kind, draft.pems[kind] ?? "");
    }
    return store.change(withTls(patch, files), check(createReadPem()), { confirmS });
  }

  return {
    running: () => running,
    current: () => store.running,
    status: () => store.status(),

    async confirm() {
      const { onTrial } = store.status();
      await store.confirm();
      if (onTrial) log.info({}, "changed configuration confirmed through the API");
      return onTrial;
    },

    async pemTexts({ tls }) {
      const read = createReadPem();
      const textOf = async (key: string, path: string | null) =>
        path === null ? null : read(key, path).catch(() => null);
      return {
        cert: await textOf("tls.cert_file", tls.cert_file),
        ca: await textOf("tls.ca_file", tls.ca_file),
      };
    },

    change(draft, options) {
      const change = lastChange.then(async () => {
        const changed = await apply(await draft(store.stored()), options);
        if (changed.length > 0) log.info({ changed }, "configuration changed through the API");
        return changed;
      });
      lastChange = change.catch(() => undefined);
      return change;
    },
  };
}

async function rehearse(
  store: ConfigStore,
  draft: ConfigDraft,
  patch: ConfigPatch,
  check: (read: ReadPem) => (next: Config, previous: Config) => Promise<void>,
): Promise<void> {
  const texts = new Map<string, string>();
  const files: Record<string, string> = {};
  for (const kind of PEM_KINDS) {
    const text = draft.pems[kind];
    if (text === undefined) continue;
    const stand = `the ${kind} that was sent`;
    texts.set(stand, text);
    files[PEM_KEY[kind]] = stand;
  }
  try {
    await store.change(withTls(patch, files), async (next, previous) => {
      await check(createReadPem(texts))(next, previous);
      throw new RehearsalPassed();
    });
  } catch (err) {
    if (!(err instanceof RehearsalPassed)) throw err;
  }
}

function withTls(patch: ConfigPatch, files: Readonly<Record<string, string>>): ConfigPatch {
  const tls = patch["tls"];
  return { ...patch, tls: { ...(typeof tls === "object" ? tls : {}), ...files } };
}
