import { uptime } from "node:os";
import { join } from "node:path";
import { createAlarms, createAlarmWatch } from "./alarms/index.ts";
import { createApi } from "./api/index.ts";
import { checkRules, createAuth } from "./auth/index.ts";
import { createAutoSubscribe } from "./auto-subscribe/index.ts";
import { createBackup } from "./backup/index.ts";
import { createBans } from "./bans/index.ts";
import {
  bridgeFaults,
  createBridges,
  createRepeatFilter,
  findLoop,
  findRing,
  outboxConfig,
} from "./bridge/index.ts";
import { type Broker, boundsWithin, createBroker, createSysTopics } from "./broker/index.ts";
import { type Config, type ConfigStore, configPaths } from "./config/index.ts";
import { createDelayed } from "./delayed/index.ts";
import { reasonOf } from "./errors/index.ts";
import { createBridgeReport, createHealth, createProbe } from "./health/index.ts";
import { createListeners, loadTlsMaterial } from "./listeners/index.ts";
import type { Log } from "./log/index.ts";
import { createModbus } from "./modbus/index.ts";
import { createMonitor } from "./monitor/index.ts";
import { writePortsFile } from "./ports-file.ts";
import { createRewrite } from "./rewrite/index.ts";
import { createSelfCheck } from "./self-check.ts";
import { createSerial, serialDevices } from "./serial/index.ts";
import {
  bridgeMetrics,
  checkBridgeRules,
  createMetrics,
  createServices,
  type PartChecks,
  ruleMetrics,
  type Services,
} from "./services/index.ts";
import { createSlowSubscriptions } from "./slow-subscriptions/index.ts";
import { createStore } from "./store/index.ts";
import { createTelemetry, createTelemetryPublisher, METRICS } from "./telemetry/index.ts";
import { type Clock, createStamper } from "./time/index.ts";
import { createTopicMetrics } from "./topic-metrics/index.ts";
import { createTraces } from "./trace/index.ts";
import {
  certificateFiles,
  delayedConfig,
  describe,
  flagOf,
  memoryBytes,
  type Ports,
  portsOf,
  probeTerms,
  putAside,
  retainerOf,
  tableOf,
  textOf,
} from "./translations.ts";
import { createUpdates } from "./update/index.ts";

export interface GatewayDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly configStore: ConfigStore;
  /** Where everything that lasts is kept. */
  readonly dataDir: string;
  /** Made once for this device; names it towards the cloud. */
  readonly deviceId: string;
  readonly version: string;
  /** The service manager's end of sd_notify(3) and its watchdog time; null where there is none. */
  readonly supervisor: { readonly notifyFd: number | null; readonly watchdogUs: number | null };
  /** Where the appliance's programs keep the state of updates; null or not there = no appliance. */
  readonly updateDir?: string | null;
  /** Where programs on the device look for what they may know of it (`RUNTIME_DIRECTORY`). */
  readonly runtimeDir?: string | null;
  /** Bytes and fsyncs since the start of the process beside the store, by cause. */
  readonly otherWrites?: () => Readonly<Record<string, { bytes: number; fsyncs: number }>>;
  /** Asked for through the API: end the process in order, and start it again or not. */
  requestExit(kind: "stop" | "restart"): void;
}

/** What the parts know to be wrong with a configuration made for them. */
export const CONFIG_CHECKS: PartChecks = {
  findLoop,
  findRing,
  bridgeFaults,
  checkAccess: (next) => checkRules(next.acl),
};

/** A whole gateway: every part built from one configuration and joined here. */
export interface Gateway {
  /** What the HTTP dialects translate to. */
  readonly services: Services;
  /**
   * Starts every part in order; what was started is stopped again when a later part fails.
   * @throws GatewayError of the part that failed
   */
  start(signal?: AbortSignal): Promise<void>;
  /** Closes the doors first and the store last; safe to call twice. */
  stop(): Promise<void>;
  ports(): Ports;
  /** Uses renewed TLS files for new connections; unusable ones are logged and change nothing. */
  reloadTls(): Promise<void>;
}

interface Part {
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Builds a gateway; nothing happens before `start`.
 * @throws GatewayError CONFIG_CHECK_FAILED for bridges and access rules that could never work
 */
export function createGateway(deps: GatewayDeps): Gateway {
  const { log, clock, configStore } = deps;
  const config = configStore.running;
  let isReady = false;
  checkBridgeRules(config.bridges, CONFIG_CHECKS);

  const store = createStore(
    { log, clock },
    { path: join(deps.dataDir, "store"), store: config.store },
  );
  const auth = createAuth({ log, clock, store }, { auth: config.auth, acl: config.acl });
  const probe = createProbe({ log }, deps.runtimeDir ?? null);
  const rewrite = createRewrite({ log }, config.rewrite);
  const autoSubscribe = createAutoSubscribe({ log }, config.auto_subscribe);
  const repeats = createRepeatFilter({ log, clock, table: tableOf(store, "bridge_marks") });
  const broker: Broker = createBroker(
    {
      log,
      clock,
      store,
      authenticator: {
        authenticate: async (login) => probe.login(login) ?? (await auth.authenticate(login)),
      },
      authorizer: {
        get denyAction() {
          return auth.denyAction;
        },
        revision: () => auth.revision(),
        authorize: (use) => probe.mayUse(use) ?? auth.authorize(use),
      },
      admission: { isBanned: (client) => bans.isBanned(client) },
      rewrite,
      delayed: {
        get isEnabled() {
          return delayed.isEnabled;
        },
        add: (message, delayMs) => delayed.add(message, delayMs),
      },
      autoSubscriptions: autoSubscribe,
      repeats,
    },
    {
      mqtt: config.mqtt,
      msqLen: config.msq_len,
      bounds: boundsWithin(memoryBytes()),
      retainer: retainerOf(config),
    },
  );
  const delayed = createDelayed(
    {
      log,
      clock,
      table: tableOf(store, "delayed"),
      gatewayMs: () => store.nowMs(),
      release: (message) => broker.release(message),
    },
    delayedConfig(config),
  );
  const bans = createBans({
    log,
    clock,
    table: tableOf(store, "bans"),
    clients: () => broker.clients(),
    disconnect: (clientId) => broker.disconnect(clientId),
  });
  const node = `tidegate-${deps.deviceId}`;
  const alarms = createAlarms(
    { log, clock, bus: broker, store },
    { node, settings: () => configStore.running.alarm },
  );
  const bridges = createBridges(
    {
      log,
      clock,
      bus: broker,
      deviceId: deps.deviceId,
      node,
      alarms,
      openOutbox: (name, bridge) => store.outbox(name, outboxConfig(bridge)),
      waiting: () => store.waiting(),
      dropOutbox: (name) =>
        store.discardOutbox(name).catch((err: unknown) => {
          log.warn({ bridge: name, err: reasonOf(err) }, "what waited for a bridge is still there");
        }),
    },
    config.bridges,
  );
  const bridgeReport = createBridgeReport(
    { log, clock, bridges: () => bridges.list().map(({ status }) => status) },
    deps.runtimeDir ?? null,
  );
  let endOfChanges = () => {};
  const metrics = createMetrics([
    broker,
    delayed,
    { metrics: () => bridgeMetrics(bridges.list()) },
    { metrics: () => ruleMetrics(auth.status().rules) },
  ]);
  const topicMetrics = createTopicMetrics({ clock, broker }, config.topic_metrics);
  const slowSubscriptions = createSlowSubscriptions({ clock, broker }, config.slow_subs);
  const traces = createTraces({ log, clock, broker, store }, { path: join(deps.dataDir, "trace") });
  const monitor = createMonitor({ log, clock, metrics, store });
  const sysTopics = createSysTopics(
    { log, clock, broker, metrics },
    { node, version: deps.version, settings: config.sys_topics },
  );
  const telemetry = createTelemetry(
    {
      log,
      clock,
      sources: {
        storeStatus: () => store.status(),
        ...(deps.otherWrites === undefined ? {} : { otherWrites: deps.otherWrites }),
        cardEnduranceBytes: () => {
          const { card_endurance_gb } = configStore.running.sysmon;
          return card_endurance_gb === null ? null : card_endurance_gb * 1e9;
        },
      },
    },
    { dataDir: deps.dataDir },
  );
  const stamper = createStamper({
    clock,
    uptimeMs: () => uptime() * 1000,
    bootId: () => textOf(telemetry.snapshot()["boot_id"]),
    isSynchronised: () => flagOf(telemetry.snapshot()["clock_synchronised"]),
  });
  const telemetryPublisher = createTelemetryPublisher(
    { log, clock, bus: broker, telemetry, stamper },
    { node, device: deps.deviceId, settings: () => configStore.running.telemetry },
  );
  const stamp = () => ({ ...stamper.stamp() });
  let fieldDevicesSettled: Promise<void> = Promise.resolve();
  const serial = createSerial({ log, clock, bus: broker, stamp }, config.serial);
  const modbus = createModbus(
    { log, clock, bus: broker, stamp, line: (name) => serial.line(name) },
    config.modbus,
  );
  const updates = createUpdates(
    { log, clock },
    { stateDir: deps.updateDir ?? null, dataDir: deps.dataDir },
  );
  const alarmWatch = createAlarmWatch(
    {
      log,
      clock,
      alarms,
      readings: () => ({
        device: telemetry.snapshot(),
        store: store.status(),
        configuration: putAside(configStore.status()),
        update: updates.fallBack(),
      }),
      storeSetAside: () => store.status().setAside,
      bridges: () => bridges.list().map(({ status }) => status),
      certificateFiles: () => certificateFiles(configStore.running),
    },
    { watermarks: () => configStore.running.sysmon },
  );
  const listeners = createListeners(
    { log, clock, alarms, onConnection: (stream, peer) => broker.handle(stream, peer) },
    config,
  );
  const backup = createBackup(
    {
      log,
      clock,
      tables: {
        bans: tableOf(store, "bans"),
        mqtt_users: tableOf(store, "mqtt_users"),
        acl_rules: tableOf(store, "acl_rules"),
      },
      config: {
        stored: () => configStore.stored(),
        async change(patch) {
          const draft = async () => ({ patch, pems: {} });
          await services.configuration.change(draft, { force: false });
        },
        putPem: (kind, pem) => configStore.putPem(kind, pem),
      },
      // The answer goes out first.
      requestRestart: () => services.control.request("restart", new Promise(() => {})),
    },
    {
      directory: join(deps.dataDir, "backup"),
      version: deps.version,
      pemDirectory: configPaths(deps.dataDir).pem,
    },
  );
  const services: Services = createServices(
    {
      log,
      clock,
      broker,
      auth,
      alarms,
      metrics,
      monitor,
      backup,
      updates,
      bans,
      delayed,
      deviceMetrics: METRICS,
      retainer: () => configStore.running.retainer,
      topicMetrics,
      slowSubscriptions,
      traces,
      bridges,
      fieldDevices: {
        ports: () => serial.status(),
        lines: () => modbus.status(),
        devices: () => serialDevices(),
        settled: () => fieldDevicesSettled,
      },
      listeners,
      telemetry,
      configStore,
      heldPorts: () => Object.values(portsOf(listeners, api)),
      configChecks: CONFIG_CHECKS,
      requestExit: (kind) => deps.requestExit(kind),
      isReady: () => isReady,
    },
    { version: deps.version, running: config },
  );
  const api = createApi(
    {
      log,
      clock,
      services,
      verifyPassword: auth.verifyPassword,
      loadTls: () => loadTlsMaterial(config.tls),
      alarms,
    },
    config,
  );
  const health = createHealth({
    log,
    clock,
    ...deps.supervisor,
    selfCheck: createSelfCheck(broker),
  });

  function followMqtt({ mqtt, msq_len: msqLen }: Config): void {
    services.liveSettings.apply({
      msqLen,
      maxPacketSizeBytes: mqtt.max_packet_size_bytes,
      clientMaxPacketSizeBytes: mqtt.client_max_packet_size_bytes,
      keepaliveMultiplier: mqtt.keepalive_multiplier,
    });
    broker.reconfigure({
      queuePolicy: mqtt.queue_policy,
      maxQueuedBytes: mqtt.max_queued_bytes,
      maxInflight: mqtt.max_inflight,
      stalledReaderS: mqtt.stalled_reader_s,
    });
  }

  let applied = config;
  /** What can change while it runs; each part is told when its own keys have. */
  const follow = (next: Config): void => {
    const before = applied;
    applied = next;
    if (next.auth !== before.auth || next.acl !== before.acl) {
      auth.reconfigure({ auth: next.auth, acl: next.acl });
    }
    if (next.rewrite !== before.rewrite) rewrite.configure(next.rewrite);
    if (next.auto_subscribe !== before.auto_subscribe) {
      autoSubscribe.configure(next.auto_subscribe);
    }
    if (next.listeners !== before.listeners || next.extra_listeners !== before.extra_listeners) {
      void tellPorts();
      void tellProbe();
    }
    if (next.update !== before.update) void tellProbe();
    delayed.configure(delayedConfig(next));
    if (next.mqtt !== before.mqtt || next.msq_len !== before.msq_len) followMqtt(next);
    broker.reconfigure({ retainer: retainerOf(next) });
    if (next.topic_metrics !== before.topic_metrics) topicMetrics.configure(next.topic_metrics);
    if (next.sys_topics !== before.sys_topics) sysTopics.configure(next.sys_topics);
    if (next.slow_subs !== before.slow_subs) slowSubscriptions.configure(next.slow_subs);
    bridges.apply(next.bridges);
    if (next.serial !== before.serial || next.modbus !== before.modbus) {
      fieldDevicesSettled = serial
        .reconfigure(next.serial)
        .then(() => modbus.reconfigure(next.modbus))
        .catch((err: unknown) => log.error({ err }, "serial ports cannot be changed"));
    }
  };

  /** In order of the flow of data: whoever is called stands before his callers. */
  const parts: readonly Part[] = [
    store,
    repeats,
    auth,
    bans,
    broker,
    delayed,
    alarms,
    sysTopics,
    bridges,
    bridgeReport,
    telemetry,
    telemetryPublisher,
    updates,
    alarmWatch,
    topicMetrics,
    slowSubscriptions,
    traces,
    monitor,
    serial,
    modbus,
    api,
    listeners,
    health,
  ];
  const started: Part[] = [];
  let stopping: Promise<void> | null = null;

  async function stopAll(): Promise<void> {
    isReady = false;
    endOfChanges();
    health.stopping();
    await probe.stop();
    for (const part of started.splice(0).reverse()) {
      try {
        await part.stop();
      } catch (err) {
        log.error({ err }, "a part could not be stopped in order");
      }
    }
  }

  const tellPorts = () => writePortsFile(deps.runtimeDir ?? null, portsOf(listeners, api), log);
  const tellProbe = () => probe.announce(probeTerms(applied, listeners, api));

  return {
    services,
    async start(signal) {
      try {
        for (const part of parts) {
          signal?.throwIfAborted();
          started.push(part);
          await part.start(signal);
        }
      } catch (err) {
        await stopAll();
        throw err;
      }
      endOfChanges = configStore.onChange(follow);
      await tellProbe();
      await tellPorts();
      isReady = true;
      health.ready(`listening on ${describe(portsOf(listeners, api))}`);
    },
    async stop() {
      stopping ??= stopAll();
      await stopping;
    },
    ports: () => portsOf(listeners, api),
    async reloadTls() {
      for (const part of [listeners, api]) {
        try {
          await part.reloadTls();
        } catch (err) {
          log.error({ err }, "the TLS files cannot be used, the old ones stay");
        }
      }
      await tellPorts();
      await bridges.renewCertificates();
    },
  };
}
