import type { Config } from "../config/index.ts";
import type { Log } from "../log/index.ts";
import type {
  ClientDetails,
  ClientInfo,
  Levels,
  Metrics,
  ProtocolVersion,
  QueuePage,
  QueuePart,
  SessionGlance,
  StoredMessage,
  SubscriptionInfo,
  TopicFilter,
  WantedSubscription,
} from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import type { BridgesApi } from "./bridge-deps.ts";
import type {
  BackupService,
  BansService,
  DelayedService,
  ListenersService,
  SettingsService,
  TopicSettingsService,
  UpdatesService,
} from "./feature-deps.ts";
import type { FieldDevicesApi } from "./field-deps.ts";
import type { MqttAccess } from "./mqtt-access-deps.ts";

/** Conditions on a client; absent ones do not matter. */
export interface ClientFilter {
  readonly clientId?: string;
  readonly username?: string;
  readonly isConnected?: boolean;
  readonly cleanStart?: boolean;
  readonly protocolVersion?: ProtocolVersion;
}

/** Conditions on a session, all to be met; see the service. */
export interface SessionFilter {
  readonly clientIds?: readonly string[];
  readonly usernames?: readonly string[];
  readonly clientIdPart?: string;
  readonly usernamePart?: string;
  readonly address?: string;
  readonly isOnline?: boolean;
  readonly cleanStart?: boolean;
  readonly version?: ProtocolVersion;
  readonly createdFromMs?: number;
  readonly createdToMs?: number;
  readonly connectedFromMs?: number;
  readonly connectedToMs?: number;
}

/** Conditions on a subscription, all to be met; see the service. */
export interface SubscriptionFilter {
  readonly qos?: number;
  readonly filter?: string;
  readonly within?: string;
  readonly group?: string;
  readonly isDurable?: boolean;
}

/** Which part of whose queue is asked for; see the service. */
export interface QueueQuestion {
  readonly part: QueuePart;
  readonly after: number | null;
  readonly maxMessages: number;
  readonly maxBytes: number;
}

/** What became of a message. */
export interface PublishOutcome {
  readonly id: string;
  readonly receivers: number;
}

/** A message to publish, still to be checked by the service. */
export interface PublishRequest {
  readonly topics: readonly string[];
  readonly payload: string;
  readonly decodeFrom: "plain" | "base64";
  readonly encodeTo: "plain" | "base64";
  readonly qos: number;
  readonly retain: boolean;
  readonly clientId: string;
  readonly properties: Readonly<Record<string, unknown>>;
}

/** How the configuration stands towards its next start. */
export interface ConfigStatus {
  readonly restartPending: boolean;
  readonly onTrial: boolean;
  readonly confirmS: number | null;
  readonly rolledBack: { readonly atMs: number; readonly reason: string } | null;
}

export interface NodeFacts {
  readonly version: string;
  readonly uptimeMs: number;
  readonly nowMs: number;
  readonly isReady: boolean;
  readonly connections: number;
  readonly sessions: number;
  readonly maxOpenFiles: number | null;
  readonly configuration: ConfigStatus;
}

export interface LiveSettings {
  readonly allowAnonymous: boolean;
  readonly msqLen: number;
  readonly maxPacketSizeBytes: number;
  readonly clientMaxPacketSizeBytes: number;
  readonly keepaliveMultiplier: number;
  readonly propertySize: number;
  readonly qosDurationS: number;
  readonly isBridgeOn: boolean;
}

/** An alarm, active or over; times of the wall clock in ms since 1970. */
export interface AlarmView {
  readonly name: string;
  readonly message: string;
  readonly details: Readonly<Record<string, number | string>>;
  readonly activatedAtMs: number;
  readonly deactivatedAtMs: number | null;
  readonly durationMs: number;
}

/** PEM texts behind the TLS files that are no secret. */
export interface PemTexts {
  readonly cert: string | null;
  readonly ca: string | null;
}

export interface ConfigDraft {
  readonly patch: Readonly<Record<string, unknown>>;
  readonly pems: { readonly key?: string; readonly cert?: string; readonly ca?: string };
}

/** What was seen during one step, or null where nothing was sampled. */
export interface MonitorStep {
  readonly atMs: number;
  readonly sample: {
    readonly connections: number;
    readonly liveConnections: number;
    readonly topics: number;
    readonly subscriptions: number;
    readonly received: number;
    readonly sent: number;
    readonly dropped: number;
    readonly actions: number;
    readonly receivedBytes: number;
    readonly sentBytes: number;
  } | null;
}

export interface ApiKeyView {
  readonly name: string;
  readonly apiKey: string;
  readonly role: "administrator" | "viewer" | "publisher";
  readonly enable: boolean;
  readonly desc: string;
  readonly createdAtMs: number;
  readonly expiredAtMs: number | null;
  readonly isExpired: boolean;
}

export interface ApiKeyChange {
  readonly desc?: string | undefined;
  readonly enable?: boolean | undefined;
  readonly role?: "administrator" | "viewer" | "publisher" | undefined;
  /** null or left out = never. */
  readonly expiredAtMs?: number | null | undefined;
}

export interface UserView {
  readonly username: string;
  readonly description: string;
  readonly role: "administrator" | "viewer";
}

/** What is traced, and when; times are wall clock, ms. */
export interface TraceRequest {
  readonly name: string;
  readonly kind: "clientid" | "topic" | "ip_address";
  readonly value: string;
  readonly startAtMs: number;
  readonly endAtMs: number;
  readonly formatter: "text" | "json";
  readonly payloadEncode: "text" | "hex" | "hidden";
  readonly payloadLimit: number;
}

export interface TraceState {
  readonly spec: TraceRequest;
  readonly status: "waiting" | "running" | "stopped";
  readonly sizeBytes: number;
  readonly changedAtMs: number;
}

/** What was counted for one topic: messages and per second by name. */
export interface TopicReportView {
  readonly topic: string;
  readonly createdAtMs: number;
  readonly resetAtMs: number | null;
  readonly counts: Readonly<Record<string, { readonly count: number; readonly rate: number }>>;
}

/** One thing that is measured, with every value it has now. */
export interface Figure {
  readonly name: string;
  readonly doc: string;
  readonly kind: "gauge" | "counter";
  readonly samples: readonly {
    readonly labels: Readonly<Record<string, string>>;
    readonly value: number;
  }[];
}

export interface BridgeRuleFigures {
  readonly name: string;
  readonly direction: string;
  readonly state: string;
  readonly matched: number;
  readonly passed: number;
  readonly failed: number;
  readonly dropped: number;
}

export interface BridgeFigures {
  readonly config: { readonly enable: boolean };
  readonly status: {
    readonly name: string;
    readonly state: string;
    readonly reconnects: number;
    readonly depthMessages: number;
    readonly depthBytes: number;
    readonly inflight: number;
    readonly forwarded: number;
    readonly received: number;
    readonly retried: number;
    readonly dropped: Readonly<Record<string, number>>;
    readonly rules: readonly BridgeRuleFigures[];
  };
}

/** The services the dialects translate to; refusals are GatewayErrors. */
export interface ApiServices {
  readonly node: { readonly name: string };
  readonly clients: {
    find(filter?: ClientFilter): Promise<readonly ClientInfo[]>;
    sessions(clientIds?: readonly string[]): Iterable<SessionGlance>;
    sessionCount(): number;
    matcher(filter: SessionFilter): (session: SessionGlance) => boolean;
    details(clientId: string): ClientDetails | undefined;
    describe(session: SessionGlance): ClientDetails;
    remove(clientId: string): Promise<void>;
    removeAll(clientIds: readonly string[]): Promise<void>;
    setKeepAlive(clientId: string, seconds: number): void;
    queue(clientId: string, question: QueueQuestion): Promise<QueuePage>;
    countSince(sinceMs: number): Promise<number>;
  };
  readonly subscriptions: {
    find(filter?: { readonly clientId?: string }): Promise<readonly SubscriptionInfo[]>;
    byClient(): Promise<ReadonlyMap<string, readonly SubscriptionInfo[]>>;
    subscribe(clientId: string, filters: readonly string[], wantedQos: number): Promise<void>;
    unsubscribe(clientId: string, filters: readonly string[]): Promise<void>;
    rows(clientId?: string): Iterable<SubscriptionInfo>;
    matcher(filter: SubscriptionFilter): (row: SubscriptionInfo) => boolean;
    grant(clientId: string, wanted: readonly WantedSubscription[]): Promise<void>;
    filters(): Iterable<TopicFilter>;
    filtersAt(raw: string): readonly TopicFilter[];
  };
  readonly apiKeys: {
    list(): readonly ApiKeyView[];
    get(name: string): ApiKeyView;
    find(apiKey: string): (ApiKeyView & { readonly storedSecret: string }) | undefined;
    create(name: string, change: ApiKeyChange): Promise<ApiKeyView & { readonly secret: string }>;
    update(name: string, change: ApiKeyChange): Promise<ApiKeyView>;
    remove(name: string): Promise<void>;
    loadBootstrapFile(): Promise<void>;
  };
  readonly users: {
    list(): readonly UserView[];
    find(username: string): (UserView & { readonly storedPassword: string | null }) | undefined;
    create(user: UserView, password: string): Promise<UserView>;
    update(user: UserView): Promise<UserView>;
    remove(username: string): Promise<void>;
    setPassword(username: string, password: string): Promise<void>;
  };
  readonly statistics: {
    messages(): Promise<{
      readonly subscribers: number;
      readonly received: number;
      readonly sent: number;
      readonly dropped: number;
    }>;
    device(): Readonly<Record<string, unknown>>;
    node(): NodeFacts;
  };
  readonly metrics: { counters(): Metrics; levels(): Levels };
  readonly traces: {
    list(): readonly TraceState[];
    find(name: string): TraceState | null;
    create(spec: TraceRequest): "created" | "exists" | "duplicate" | "full";
    end(name: string): boolean;
    remove(name: string): Promise<boolean>;
    read(
      name: string,
      position: number,
      bytes: number,
    ): Promise<{
      readonly text: string;
      readonly position: number;
      readonly isEnd: boolean;
    } | null>;
  };
  readonly topicMetrics: {
    list(): readonly TopicReportView[];
    find(topic: string): TopicReportView | null;
    reset(topic: string): boolean;
    resetAll(): void;
    register(topic: string): Promise<"registered" | "exists" | "full">;
    unregister(topic: string): Promise<boolean>;
  };
  readonly slowSubscriptions: {
    list(): readonly {
      readonly clientId: string;
      readonly topic: string;
      readonly timespanMs: number;
      readonly updatedAtMs: number;
    }[];
    clear(): void;
    settings(): Config["slow_subs"];
    change(settings: Partial<Config["slow_subs"]>): Promise<void>;
  };
  readonly figures: {
    device(): readonly Figure[];
    bridges(): readonly Figure[];
    bridgeList(): Iterable<BridgeFigures>;
  };
  readonly monitor: {
    series(latestS: number | null): readonly MonitorStep[];
    rates(): {
      readonly received: number;
      readonly sent: number;
      readonly dropped: number;
      readonly actions: number;
      readonly receivedBytes: number;
      readonly sentBytes: number;
    };
    clear(): void;
  };
  readonly alarms: {
    active(): readonly AlarmView[];
    history(): readonly AlarmView[];
    clearHistory(): void;
    forceClear(name: string): boolean;
  };
  readonly listeners: ListenersService;
  readonly backup: BackupService;
  readonly updates: UpdatesService;
  readonly settings: SettingsService;
  readonly bans: BansService;
  readonly delayed: DelayedService;
  readonly topicSettings: TopicSettingsService;
  readonly mqttAccess: MqttAccess;
  readonly publisher: {
    publish(request: PublishRequest): Promise<void>;
    publishAll(requests: readonly PublishRequest[]): Promise<readonly (PublishOutcome | null)[]>;
  };
  readonly retained: {
    topics(filter?: string): Iterable<string>;
    count(): number;
    message(topic: string): Promise<StoredMessage | null>;
    remove(topicOrFilter: string): Promise<number>;
    removeAll(): Promise<number>;
    settings(): Config["retainer"];
    change(settings: Config["retainer"]): Promise<void>;
  };
  readonly control: { request(kind: "stop" | "restart", answered: Promise<void>): void };
  readonly configuration: {
    running(): Config;
    current(): Config;
    status(): ConfigStatus;
    confirm(): Promise<boolean>;
    pemTexts(config: Config): Promise<PemTexts>;
    change(
      draft: (stored: Config) => Promise<ConfigDraft>,
      options: { readonly force: boolean; readonly confirmS?: number | undefined },
    ): Promise<readonly string[]>;
  };
  readonly bridges: BridgesApi;
  readonly fieldDevices: FieldDevicesApi;
  readonly liveSettings: { view(): LiveSettings; apply(change: Partial<LiveSettings>): void };
}

/** What the API needs of the rest of the gateway. */
export interface ApiDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly services: ApiServices;
  /** Whether `clear` is the password behind `stored` (a hash or clear text); slow on purpose. */
  verifyPassword(clear: string, stored: string): Promise<boolean>;
}

/** The slice of the configuration the API is built from. */
export interface ApiConfig {
  readonly http: Config["http"];
}

export type { FieldDevicesApi } from "./field-deps.ts";
