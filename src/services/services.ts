import type { Config } from "../config/index.ts";
import type { Log } from "../log/index.ts";
import type { Clock } from "../time/index.ts";
import { type ApiKeys, createApiKeys, createUsers, type Users } from "./access/index.ts";
import type { AlarmsService } from "./alarms.ts";
import { type BridgeDirectory, type BridgesService, createBridgesService } from "./bridges.ts";
import { type ClientDirectory, type Clients, createClients } from "./clients.ts";
import {
  type Configuration,
  type ConfigurationDeps,
  createConfiguration,
} from "./configuration/index.ts";
import { type Control, type ControlDeps, createControl } from "./control.ts";
import {
  createFieldDevices,
  type FieldDevicesService,
  type FieldDirectory,
} from "./field-devices.ts";
import { createFigures, type Figures, type FiguresDeps } from "./figures.ts";
import type { BackupService, BansService, DelayedService, UpdatesService } from "./kept.ts";
import {
  createListenersService,
  type ListenersService,
  type ListenersServiceDeps,
} from "./listeners.ts";
import {
  createLiveSettings,
  type LiveSettingsDeps,
  type LiveSettingsService,
} from "./live-settings.ts";
import type { MetricsService } from "./metrics.ts";
import type { MonitorService } from "./monitor.ts";
import { createMqttAccess, type MqttAccess, type MqttAuth } from "./mqtt-access.ts";
import { createPublisher, type PublishDeps, type Publisher } from "./publish.ts";
import {
  createRetainedMessages,
  type RetainedDirectory,
  type RetainedMessages,
} from "./retained.ts";
import { createSettings, type Settings } from "./settings.ts";
import { createStatistics, type Statistics, type StatisticsDeps } from "./statistics.ts";
import {
  createSubscriptions,
  type SubscriptionDirectory,
  type Subscriptions,
} from "./subscriptions.ts";
import { createTopicSettings, type TopicSettings } from "./topic-settings.ts";
import type { TraceService } from "./traces.ts";
import {
  createSlowSubscriptionsService,
  createTopicMetricsService,
  type SlowSubscriptionFinder,
  type SlowSubscriptionsService,
  type TopicCounter,
  type TopicMetricsService,
} from "./watching.ts";

/** What the services need of the rest of the gateway. */
export interface ServicesDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly broker: PublishDeps["bus"] &
    RetainedDirectory &
    ClientDirectory &
    SubscriptionDirectory &
    StatisticsDeps["broker"] &
    LiveSettingsDeps["broker"];
  readonly auth: LiveSettingsDeps["auth"] &
    MqttAuth & {
      /** Whether `clear` is the password behind `stored` (a hash or clear text); slow on purpose. */
      verifyPassword(clear: string, stored: string): Promise<boolean>;
    };
  /** What is retained now. */
  readonly retainer: () => Config["retainer"];
  readonly listeners: LiveSettingsDeps["listeners"] & ListenersServiceDeps["listeners"];
  readonly bridges: BridgeDirectory & FiguresDeps["bridges"];
  readonly fieldDevices: FieldDirectory;
  readonly alarms: AlarmsService;
  readonly metrics: MetricsService;
  readonly monitor: MonitorService;
  readonly backup: BackupService;
  readonly updates: UpdatesService;
  readonly bans: BansService;
  readonly delayed: DelayedService;
  readonly deviceMetrics: FiguresDeps["deviceMetrics"];
  readonly topicMetrics: TopicCounter;
  readonly traces: TraceService;
  readonly slowSubscriptions: SlowSubscriptionFinder;
  readonly telemetry: StatisticsDeps["telemetry"];
  readonly configStore: ConfigurationDeps["store"] & ListenersServiceDeps["store"];
  /** TCP ports this process listens on. */
  readonly heldPorts: ConfigurationDeps["heldPorts"];
  readonly configChecks: ConfigurationDeps["parts"];
  /** Starts the orderly end of the process: exit code 0 for stop, 75 for restart. */
  readonly requestExit: ControlDeps["requestExit"];
  /** Whether every part is up. */
  readonly isReady: () => boolean;
}

/** What every HTTP dialect is made of; a dialect only translates. */
export interface Services {
  readonly apiKeys: ApiKeys;
  readonly users: Users;
  /** What the gateway calls itself where a dialect names a node. */
  readonly node: { readonly name: string };
  readonly clients: Clients;
  readonly subscriptions: Subscriptions;
  readonly statistics: Statistics;
  readonly publisher: Publisher;
  readonly retained: RetainedMessages;
  readonly control: Control;
  readonly configuration: Configuration;
  readonly liveSettings: LiveSettingsService;
  readonly bridges: BridgesService;
  readonly fieldDevices: FieldDevicesService;
  readonly alarms: AlarmsService;
  readonly metrics: MetricsService;
  readonly monitor: MonitorService;
  readonly settings: Settings;
  readonly listeners: ListenersService;
  readonly backup: BackupService;
  readonly updates: UpdatesService;
  readonly bans: BansService;
  readonly delayed: DelayedService;
  readonly topicSettings: TopicSettings;
  readonly mqttAccess: MqttAccess;
  readonly figures: Figures;
  readonly topicMetrics: TopicMetricsService;
  readonly traces: TraceService;
  readonly slowSubscriptions: SlowSubscriptionsService;
}

/**
 * Puts the services together for one gateway; they hold no resources, so there is nothing to stop.
 * @param cfg.running the configuration the other parts were built from
 */
export function createServices(
  deps: ServicesDeps,
  cfg: { readonly version: string; readonly running: Config },
): Services {
  const { log, clock, broker, configStore } = deps;
  const liveSettings = createLiveSettings(deps, cfg.running);
  const control = createControl({ log, clock, requestExit: deps.requestExit });
  const configuration = createConfiguration(
    { log, store: configStore, heldPorts: deps.heldPorts, parts: deps.configChecks },
    cfg.running,
  );
  return {
    apiKeys: createApiKeys({
      log,
      clock,
      configuration,
      verifyPassword: deps.auth.verifyPassword,
    }),
    users: createUsers({ configuration }),
    node: { name: cfg.running.node_name },
    clients: createClients({ directory: broker }),
    subscriptions: createSubscriptions({ directory: broker }),
    statistics: createStatistics(
      {
        clock,
        broker,
        telemetry: deps.telemetry,
        serialPorts: () => deps.fieldDevices.ports(),
        configStatus: () => configStore.status(),
        isReady: deps.isReady,
      },
      cfg,
    ),
    publisher: createPublisher({
      bus: broker,
      maxPacketSizeBytes: () => liveSettings.view().maxPacketSizeBytes,
    }),
    retained: createRetainedMessages({
      directory: broker,
      settings: () => deps.retainer(),
      async store(retainer) {
        await configuration.change(async () => ({ patch: { retainer }, pems: {} }), {
          force: false,
        });
      },
    }),
    control,
    configuration,
    bridges: createBridgesService({
      directory: deps.bridges,
      configuration,
      store: configStore,
    }),
    listeners: createListenersService({ listeners: deps.listeners, store: configStore }),
    settings: createSettings(configuration, control, () => configStore.stored()),
    backup: deps.backup,
    updates: deps.updates,
    bans: deps.bans,
    delayed: deps.delayed,
    topicSettings: createTopicSettings(configuration, () => configStore.stored()),
    fieldDevices: createFieldDevices({ directory: deps.fieldDevices, configuration }),
    mqttAccess: createMqttAccess({ auth: deps.auth, configuration }),
    liveSettings,
    alarms: deps.alarms,
    metrics: deps.metrics,
    monitor: deps.monitor,
    figures: createFigures(deps),
    traces: deps.traces,
    topicMetrics: createTopicMetricsService(configuration, deps.topicMetrics),
    slowSubscriptions: createSlowSubscriptionsService(configuration, deps.slowSubscriptions),
  };
}
