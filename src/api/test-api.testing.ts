import assert from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAlarms } from "../alarms/index.ts";
import { checkRules, createAuth } from "../auth/index.ts";
import { memoryTables } from "../auth/memory-table.testing.ts";
import { createBackup } from "../backup/index.ts";
import { createBans } from "../bans/index.ts";
import { MemoryBus } from "../bridge/bus.testing.ts";
import { bridgeFaults, createBridges, findLoop, findRing } from "../bridge/index.ts";
import { testOutboxes } from "../bridge/outbox.testing.ts";
import type { Config } from "../config/index.ts";
import { createDelayed } from "../delayed/index.ts";
import { loadTlsMaterial } from "../listeners/index.ts";
import { createLog } from "../log/index.ts";
import { createMonitor } from "../monitor/index.ts";
import {
  configWith,
  MemoryConfigStore,
} from "../services/configuration/memory-config-store.testing.ts";
import { FakeBroker } from "../services/fake-broker.testing.ts";
import { type ConfigStore, createMetrics, createServices } from "../services/index.ts";
import { createSlowSubscriptions } from "../slow-subscriptions/index.ts";
import { systemClock } from "../time/index.ts";
import { createTopicMetrics } from "../topic-metrics/index.ts";
import { createTraces } from "../trace/index.ts";
import { createUpdates } from "../update/index.ts";
import { createAccess } from "./access/index.ts";
import { createApi } from "./api.ts";
import { createApp } from "./app.ts";

/** `Authorization` of the administrator in every test. */
/** For parts that are not started. */
const NO_TABLE = {
  async *entries() {},
  put: () => undefined,
  delete: () => undefined,
  committed: async () => undefined,
};

export const ADMIN = `Basic ${btoa("admin:public")}`;

/** The whole API on real services, with a broker that only remembers. */
export async function createTestApi(
  patch: Record<string, Record<string, unknown>> = {},
  realStore: (ConfigStore & { running: Config }) | null = null,
) {
  const directory = await mkdtemp(join(tmpdir(), "tidegate-api-"));
  const memoryConfig = configWith({
    ...patch,
    http: { port: 0, emqx_port: null, bind: "127.0.0.1", password: "public", ...patch["http"] },
    listeners: {
      tcp: { port: 0 },
      ws: { port: 0 },
      tls: { port: 0 },
      wss: { port: 0 },
      ...patch["listeners"],
    },
  });
  const store = new MemoryConfigStore(memoryConfig, directory);
  const config = realStore?.running ?? memoryConfig;
  const broker = new FakeBroker();
  const exits: string[] = [];
  const exited = Promise.withResolvers<string>();
  const lines: string[] = [];
  const log = createLog({ level: "debug" }, { write: (line) => void lines.push(line) });
  const anonymous: boolean[] = [];
  const switched: [string, boolean][] = [];
  const state = {
    isReady: true,
    hasBridge: true,
    snapshot: (): Record<string, unknown> => ({ cpu_percent: 7.5 }),
  };
  const held = new Set<number>();
  const verifyPassword = async (clear: string, stored: string) => clear === stored;
  const alarms = createAlarms(
    { log, clock: systemClock, bus: broker },
    { node: "test", settings: () => config.alarm },
  );
  const metrics = createMetrics([]);
  const unwatched = { observe: () => () => undefined };
  const bridges = createBridges(
    {
      log,
      clock: systemClock,
      bus: new MemoryBus(),
      deviceId: "d1",
      node: "n1",
      ...testOutboxes(systemClock),
    },
    config.bridges,
  );
  const auth = createAuth({ log, clock: systemClock, store: memoryTables() }, config);
  store.onChanged = (next) => {
    bridges.apply(next.bridges);
    auth.reconfigure(next);
  };
  const services = createServices(
    {
      log,
      clock: systemClock,
      broker,
      alarms,
      metrics,
      deviceMetrics: [],
      updates: createUpdates({ log, clock: systemClock }, { stateDir: null, dataDir: directory }),
      traces: createTraces(
        {
          log,
          clock: systemClock,
          broker: { ...unwatched, client: () => undefined },
          store: { table: () => assert.fail("traces are not started") },
        },
        { path: join(directory, "trace") },
      ),
      topicMetrics: createTopicMetrics({ clock: systemClock, broker: unwatched }, []),
      slowSubscriptions: createSlowSubscriptions(
        { clock: systemClock, broker: unwatched },
        config.slow_subs,
      ),
      monitor: createMonitor({
        log,
        clock: systemClock,
        metrics,
        store: { table: () => assert.fail("the monitor is not started") },
      }),
      auth: {
        ...auth,
        setAllowAnonymous: (value) => void anonymous.push(value),
        verifyPassword,
      },
      backup: createBackup(
        {
          log,
          clock: systemClock,
          tables: {},
          config: {
            stored: () => store.stored(),
            change: async () => undefined,
            putPem: (kind, pem) => store.putPem(kind, pem),
          },
          requestRestart: () => undefined,
        },
        { directory: join(directory, "backup"), version: "9.8.7", pemDirectory: directory },
      ),
      bans: createBans({
        log,
        clock: systemClock,
        table: NO_TABLE,
        clients: () => [],
        disconnect: () => false,
      }),
      delayed: createDelayed(
        { log, clock: systemClock, table: NO_TABLE, gatewayMs: () => 0, release: () => null },
        { enable: true, maxMessages: 0, maxBytes: 0 },
      ),
      retainer: () => store.stored().retainer,
      bridges: {
        list: () => bridges.list(),
        find: (name) => bridges.find(name),
        restart: (name) => bridges.restart(name),
        settled: (name) => bridges.settled(name),
        probe: (name, cfg) => bridges.probe(name, cfg),
        resetCounters: (name) => bridges.resetCounters(name),
        forget: (name) => bridges.forget(name),
        setEnabled(name, isOn) {
          if (state.hasBridge) switched.push([name, isOn]);
          return state.hasBridge;
        },
      },
      fieldDevices: {
        ports: () => [],
        lines: () => [],
        devices: async () => [],
        settled: async () => {},
      },
      telemetry: { snapshot: () => state.snapshot() },
      configStore: realStore ?? store,
      heldPorts: () => held,
      configChecks: {
        findLoop,
        findRing,
        bridgeFaults,
        checkAccess: (next) => checkRules(next.acl),
      },
      listeners: {
        setMaxPacketSize: () => undefined,
        apply: async () => undefined,
        restart: async () => undefined,
        status: () => [],
      },
      requestExit(kind) {
        exits.push(kind);
        exited.resolve(kind);
      },
      isReady: () => state.isReady,
    },
    { version: "9.8.7", running: config },
  );
  const loadTls = () => loadTlsMaterial(config.tls);
  const deps = { log, clock: systemClock, services, verifyPassword, loadTls, alarms };
  const administrator = () => services.configuration.current().http;
  const access = createAccess({ ...deps, administrator }, config.http);
  await access.start();
  const app = await createApp(deps, access);
  const api = createApi(deps, config);
  return {
    app,
    deps,
    api,
    store,
    broker,
    exits,
    exited: exited.promise,
    lines,
    anonymous,
    switched,
    state,
    held,
    directory,
    /** Sends a V1 request as the administrator; `body` is JSON text or a value. */
    async v1(body: unknown, headers: Record<string, string> = { authorization: ADMIN }) {
      const payload = typeof body === "string" ? body : JSON.stringify(body);
      const reply = await app.inject({ method: "POST", url: "/api/v1", headers, payload });
      return { status: reply.statusCode, body: JSON.parse(reply.body), headers: reply.headers };
    },
    bridges,
    auth,
    async close() {
      await bridges.stop();
      await api.stop();
      await app.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export type TestApi = Awaited<ReturnType<typeof createTestApi>>;
