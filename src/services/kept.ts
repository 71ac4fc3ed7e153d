import type { Readable } from "node:stream";
import type { Message } from "../mqtt/index.ts";

/** What a ban names its clients by. */
export type BanKind =
  | "clientid"
  | "username"
  | "peerhost"
  | "clientid_re"
  | "username_re"
  | "peerhost_net";

/** One ban; for ever where a time is null. */
export interface Ban {
  readonly as: BanKind;
  readonly who: string;
  readonly by: string;
  readonly reason: string;
  /** Wall clock, ms; null = for ever. */
  readonly atMs: number;
  readonly untilMs: number | null;
}

/** Who is kept out; lasting, and applied at once. */
export interface BansService {
  list(): Iterable<Ban>;
  add(ban: Omit<Ban, "atMs"> & { readonly atMs: number | null }): Promise<Ban>;
  remove(as: BanKind, who: string): Promise<boolean>;
  clear(): Promise<void>;
}

/** A backup that is kept; `createdMs` is wall clock, ms. */
export interface BackupFile {
  readonly name: string;
  readonly sizeBytes: number;
  readonly createdMs: number;
}

/** Backups of the configuration and of what the API manages. */
export interface BackupService {
  export(wanted: {
    readonly roots?: readonly string[];
    readonly tables?: readonly string[];
  }): Promise<BackupFile>;
  files(): Promise<readonly BackupFile[]>;
  put(name: string, bytes: Buffer): Promise<BackupFile>;
  read(name: string): Promise<Buffer>;
  remove(name: string): Promise<void>;
  import(name: string): Promise<void>;
}

/** How an update of the device stands or ended. */
export interface UpdateResult {
  readonly state: string;
  readonly progressPercent: number;
  readonly from: string | null;
  readonly to: string | null;
  readonly source: string | null;
  readonly error: string | null;
  readonly at: string | null;
  /** What a new version on trial waits for. */
  readonly trial: {
    readonly since: string | null;
    readonly until: string | null;
    readonly latest: string | null;
    readonly waitingFor: string | null;
  } | null;
}

/** Updates of the device the gateway runs on. */
export interface UpdatesService {
  view(): Promise<{
    readonly slots: readonly {
      readonly name: string;
      readonly version: string | null;
      readonly attemptsLeft: number;
      readonly isCommitted: boolean;
      readonly isRunning: boolean;
      readonly isNext: boolean;
    }[];
    readonly isHandingOver: boolean;
    readonly last: UpdateResult | null;
    readonly history: readonly UpdateResult[];
    readonly usbSticks: readonly {
      readonly device: string;
      readonly message: string;
      readonly at: string | null;
    }[];
  }>;
  /** Resolves with the bytes that were handed over to the system. */
  receive(
    upload: { readonly stream: Readable; readonly sizeBytes: number | null },
    wish: { readonly allowDowngrade: boolean; readonly reboot: boolean },
  ): Promise<number>;
}

/** A message that waits; times in ms since 1970. */
export interface DelayedMessage {
  readonly id: string;
  readonly message: Message;
  readonly publishedMs: number;
  readonly delayS: number;
  readonly remainingMs: number;
  readonly expectedMs: number;
}

/** Messages that wait for their time. */
export interface DelayedService {
  list(): Iterable<DelayedMessage>;
  get(id: string): DelayedMessage | undefined;
  remove(id: string): Promise<boolean>;
  removeTopic(topic: string): Promise<number>;
}
