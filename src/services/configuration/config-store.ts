import type { Config } from "../../config/index.ts";

/**
 * Part of a configuration by canonical keys: objects merge, lists and members of maps replace what
 * was there, a map's member set to null goes away.
 */
export type ConfigPatch = Readonly<Record<string, unknown>>;

/** What a PEM text is: private key, certificate chain, or CA certificates. */
export type PemKind = "key" | "cert" | "ca";

/** How the configuration stands towards its next start. */
export interface ConfigStatus {
  readonly restartPending: boolean;
  /** A change was applied and has not yet proved itself. */
  readonly onTrial: boolean;
  /** Seconds in which somebody must confirm what is on trial; null = staying up does. */
  readonly confirmS: number | null;
  /** The last change that did not come up healthy and was taken back. */
  readonly rolledBack: {
    readonly atMs: number;
    readonly reason: string;
    readonly rejectedFile: string;
  } | null;
}

/**
 * What keeps the configuration. A new password is hashed on the way in, and the one that is stored
 * already is no difference.
 */
export interface ConfigStore {
  /** What applies now: keys that need no restart show their changes at once. */
  readonly running: Config;
  /** What the next start would use. */
  stored(): Config;
  /**
   * Validates `patch` against the schema, runs `check`, writes. Nothing is written when either
   * throws or nothing differs.
   * @returns the changed keys
   */
  change(
    patch: ConfigPatch,
    check: (next: Config, previous: Config) => Promise<void>,
    options?: { readonly confirmS?: number | undefined },
  ): Promise<readonly string[]>;
  /** What is on trial has proved itself. */
  confirm(): Promise<void>;
  /** As `change`, for what `check` has put into effect already: it runs at once. */
  adopt(
    patch: ConfigPatch,
    check: (next: Config, previous: Config) => Promise<void>,
  ): Promise<readonly string[]>;
  /** Keeps PEM text in a file of its own, named by its content, and returns the path. */
  putPem(kind: PemKind, pem: string): Promise<string>;
  status(): ConfigStatus;
}
