export type {
  ApiKey,
  ApiKeyChange,
  ApiKeyRole,
  ApiKeys,
  StoredApiKey,
  StoredUser,
  User,
  UserRole,
  Users,
} from "./access/index.ts";
export type { AlarmsService, AlarmView } from "./alarms.ts";
export type {
  BridgeDirectory,
  BridgeRuleView,
  BridgeStatusView,
  BridgesService,
  BridgeValues,
  BridgeView,
} from "./bridges.ts";
export type {
  ClientDirectory,
  ClientFilter,
  Clients,
  QueueQuestion,
  SessionFilter,
} from "./clients.ts";
export type {
  ConfigDraft,
  ConfigPatch,
  ConfigStatus,
  ConfigStore,
  Configuration,
  PartChecks,
  PemKind,
  PemTexts,
} from "./configuration/index.ts";
export { checkBridgeRules, checkConfig, createReadPem } from "./configuration/index.ts";
export type { Control, ExitKind } from "./control.ts";
export type {
  FieldDevices,
  FieldDevicesService,
  FieldDeviceView,
  FieldDirectory,
  SerialDeviceView,
} from "./field-devices.ts";
export type { BridgeFigures, BridgeRuleFigures, Figure, Figures } from "./figures.ts";
export type {
  BackupFile,
  BackupService,
  Ban,
  BanKind,
  BansService,
  DelayedMessage,
  DelayedService,
  UpdateResult,
} from "./kept.ts";
export type { ListenerChange, ListenerState, ListenersService, ListenerType } from "./listeners.ts";
export type { LiveSettings, LiveSettingsService } from "./live-settings.ts";
export type { MetricsService, MetricsSource } from "./metrics.ts";
export { bridgeMetrics, createMetrics, ruleMetrics } from "./metrics.ts";
export type { MonitorService, MonitorStep } from "./monitor.ts";
export type {
  AclRule,
  AclSource,
  AclSourceType,
  BuiltInDatabase,
  ImportedUser,
  MqttAccess,
  MqttAuth,
  MqttUser,
  OwnedRules,
  Position,
  RuleOwner,
} from "./mqtt-access.ts";
export type { PayloadCoding, Publisher, PublishOutcome, PublishRequest } from "./publish.ts";
export type { RetainedDirectory, RetainedMessages } from "./retained.ts";
export type { Services, ServicesDeps } from "./services.ts";
export { createServices } from "./services.ts";
export type { Settings } from "./settings.ts";
export type { MessageStatistics, NodeFacts, Statistics } from "./statistics.ts";
export type { SubscriptionDirectory, SubscriptionFilter, Subscriptions } from "./subscriptions.ts";
export type { TopicSettings } from "./topic-settings.ts";
export type { TraceRequest, TraceState } from "./traces.ts";
export type { TopicReportView } from "./watching.ts";
