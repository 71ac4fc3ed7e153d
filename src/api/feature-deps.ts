import type { Readable } from "node:stream";
import type { Config } from "../config/index.ts";
import type { Message } from "../mqtt/index.ts";

/** What a ban names its clients by. */
export type BanKind =
  | "clientid"
  | "username"
  | "peerhost"
  | "clientid_re"
  | "username_re"
  | "peerhost_net";

/** One ban; times in ms since 1970, null = for ever. */
export interface BanView {
  readonly as: BanKind;
  readonly who: string;
  readonly by: string;
  readonly reason: string;
  readonly atMs: number;
  readonly untilMs: number | null;
}

export interface BansService {
  list(): Iterable<BanView>;
  add(ban: Omit<BanView, "atMs"> & { readonly atMs: number | null }): Promise<BanView>;
  remove(as: BanKind, who: string): Promise<boolean>;
  clear(): Promise<void>;
}

/** A message that waits; times in ms since 1970. */
export interface DelayedView {
  readonly id: string;
  readonly message: Message;
  readonly publishedMs: number;
  readonly delayS: number;
  readonly remainingMs: number;
  readonly expectedMs: number;
}

export interface DelayedService {
  list(): Iterable<DelayedView>;
  get(id: string): DelayedView | undefined;
  remove(id: string): Promise<boolean>;
  removeTopic(topic: string): Promise<number>;
}

export interface RewriteRuleView {
  readonly action: "publish" | "subscribe" | "all";
  readonly source_topic: string;
  readonly re: string;
  readonly dest_topic: string;
}

export interface AutoSubscriptionView {
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  readonly rh: 0 | 1 | 2;
  readonly rap: 0 | 1;
  readonly nl: 0 | 1;
}

/** What becomes of topics; each change applies at once and lasts. Refusals as for any configuration. */
export interface TopicSettingsService {
  rewriteRules(): readonly RewriteRuleView[];
  setRewriteRules(rules: readonly RewriteRuleView[]): Promise<void>;
  autoSubscriptions(): readonly AutoSubscriptionView[];
  setAutoSubscriptions(rows: readonly AutoSubscriptionView[]): Promise<void>;
  /** `maxMessages` 0 = as many as there is room for. */
  delayed(): { readonly enable: boolean; readonly maxMessages: number };
  setDelayed(settings: { readonly enable: boolean; readonly maxMessages: number }): Promise<void>;
}

export type ListenerType = "tcp" | "ssl" | "ws" | "wss";

/** How one listener is set; `path` counts for WebSocket, `tls` for `ssl` and `wss`. */
export interface ListenerSettings {
  readonly enable: boolean;
  readonly bind: string;
  readonly port: number;
  readonly max_connections: number;
  readonly max_connects_per_s: number | null;
  readonly path: string;
  readonly tls: Config["tls"];
}

export interface ListenerState {
  readonly id: string;
  readonly type: ListenerType;
  readonly name: string;
  readonly settings: ListenerSettings;
  readonly isRunning: boolean;
  readonly connections: number;
  readonly tcpPort: number;
}

/** A change; what is left out stays. `pems` are texts that become files. */
export type ListenerChange = Partial<Omit<ListenerSettings, "tls">> & {
  readonly tls?: Partial<Config["tls"]>;
  readonly pems?: { readonly key?: string; readonly cert?: string; readonly ca?: string };
};

/** Doors for MQTT clients, opened, changed and closed while the gateway runs. */
export interface ListenersService {
  list(): readonly ListenerState[];
  find(id: string): ListenerState | undefined;
  create(type: ListenerType, name: string, settings: ListenerChange): Promise<ListenerState>;
  change(id: string, change: ListenerChange): Promise<ListenerState>;
  remove(id: string): Promise<void>;
  restart(id: string): Promise<void>;
}

/** The configuration, key by key. */
export interface SettingsService {
  /** With every change, also those that wait for the restart under way. */
  stored(): Config;
  /**
   * Checks, stores and applies a change; where it needs a restart, that follows two seconds later.
   * Refusals as for any configuration; then nothing is changed.
   */
  change(patch: Readonly<Record<string, unknown>>): Promise<void>;
}

/** How an update of the device stands or ended; see `RESULT` of the route. */
export interface UpdateResultView {
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
    readonly last: UpdateResultView | null;
    readonly history: readonly UpdateResultView[];
  }>;
  /** Resolves with the length of what was handed over to the system. */
  receive(
    upload: { readonly stream: Readable; readonly sizeBytes: number | null },
    wish: { readonly allowDowngrade: boolean; readonly reboot: boolean },
  ): Promise<number>;
}

export interface BackupFileView {
  readonly name: string;
  readonly sizeBytes: number;
  readonly createdMs: number;
}

/** Backups of the configuration and of what the API manages. */
export interface BackupService {
  export(wanted: {
    readonly roots?: readonly string[];
    readonly tables?: readonly string[];
  }): Promise<BackupFileView>;
  files(): Promise<readonly BackupFileView[]>;
  put(name: string, bytes: Buffer): Promise<BackupFileView>;
  read(name: string): Promise<Buffer>;
  remove(name: string): Promise<void>;
  import(name: string): Promise<void>;
}
