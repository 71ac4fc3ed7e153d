import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { onTestFinished } from "vitest";
import { type ConfigStore, loadConfig, openConfigStore } from "../../config/index.ts";
import { createGateway, type Gateway } from "../../gateway.ts";
import { createLog } from "../../log/index.ts";
import type { Services } from "../../services/index.ts";
import { systemClock } from "../../time/index.ts";
import type { Method, Route } from "./kit/index.ts";
import { type Call, startApi, type TestRoutes } from "./kit/kit.testing.ts";

const DEADLINE_MS = 8000;

/** The operator's file of these tests. */
const CONFIG = `
listeners:
  tcp: {bind: 127.0.0.1, port: 0}
  ws: {enable: false}
http: {bind: 127.0.0.1, port: 0, emqx_port: null}
auth: {allow_anonymous: true}
`;

/** A client with the messages it received. */
export interface LiveClient {
  readonly mqtt: MqttClient;
  readonly received: { readonly topic: string; readonly text: string; readonly retain: boolean }[];
}

/** A whole gateway in this process, and routes on its real services. */
export class LiveGateway {
  readonly dataDir: string;
  readonly #configFile: string;
  readonly #routesOf: (services: Services) => readonly Route[];
  #parts: { gateway: Gateway; configStore: ConfigStore; api: TestRoutes } | null = null;

  private constructor(
    routesOf: (services: Services) => readonly Route[],
    directory: string,
    config: string,
  ) {
    this.#routesOf = routesOf;
    this.dataDir = join(directory, "data");
    this.#configFile = join(directory, "tidegate.yaml");
    writeFileSync(this.#configFile, config);
  }

  /** Ends with the test. */
  static async start(
    routesOf: (services: Services) => readonly Route[],
    config = CONFIG,
  ): Promise<LiveGateway> {
    const directory = mkdtempSync(join(tmpdir(), "tidegate-live-"));
    const live = new LiveGateway(routesOf, directory, config);
    onTestFinished(async () => {
      await live.#stop();
      rmSync(directory, { recursive: true, force: true });
    });
    await live.#start();
    return live;
  }

  get gateway(): Gateway {
    if (this.#parts === null) throw new Error("the gateway is not started");
    return this.#parts.gateway;
  }

  /** The application that serves the routes. */
  get app(): TestRoutes["app"] {
    if (this.#parts === null) throw new Error("the gateway is not started");
    return this.#parts.api.app;
  }

  call(method: Method, path: string, call?: Call) {
    if (this.#parts === null) throw new Error("the gateway is not started");
    return this.#parts.api.call(method, path, call);
  }

  /** Stops the gateway in order and starts it again on the same data, as a restart does. */
  async restart(): Promise<void> {
    await this.#stop();
    await this.#start();
  }

  /** Connects MQTT.js to the listener; rejects with the reason of a refused CONNECT. */
  async connect(options: IClientOptions = {}, listener = "tcp"): Promise<LiveClient> {
    const port = this.gateway.ports()[listener];
    if (port === undefined) throw new Error(`listener ${listener} is not open`);
    const mqtt = await connectAsync({
      host: "127.0.0.1",
      port,
      reconnectPeriod: 0,
      connectTimeout: DEADLINE_MS,
      ...options,
    });
    onTestFinished(() => void mqtt.end(true));
    const received: LiveClient["received"] = [];
    mqtt.on("error", () => undefined);
    mqtt.on("message", (topic, payload, { retain }) => {
      received.push({ topic, text: payload.toString(), retain });
    });
    return { mqtt, received };
  }

  async #start(): Promise<void> {
    const log = createLog({ level: "fatal" });
    const input = { configFile: this.#configFile, dataDir: this.dataDir, env: {} };
    const configStore = openConfigStore(loadConfig(input), {
      log,
      hashSecret: async (clear) => `hash:${clear}`,
      isHashed: (text) => text.startsWith("hash:"),
      verifySecret: async (clear, stored) => stored === `hash:${clear}`,
    });
    const gateway = createGateway({
      log,
      clock: systemClock,
      configStore,
      dataDir: this.dataDir,
      deviceId: "test",
      version: "0.0.0",
      supervisor: { notifyFd: null, watchdogUs: null },
      requestExit: () => undefined,
    });
    await gateway.start();
    const api = await startApi(this.#routesOf(gateway.services));
    this.#parts = { gateway, configStore, api };
  }

  async #stop(): Promise<void> {
    const parts = this.#parts;
    this.#parts = null;
    await parts?.api.close();
    await parts?.gateway.stop();
    await parts?.configStore.stop();
  }
}

/** Resolves once `isTrue` is; fails at the deadline. */
export async function until(isTrue: () => boolean): Promise<void> {
  const endMs = performance.now() + DEADLINE_MS;
  while (!isTrue()) {
    if (performance.now() > endMs) throw new Error(`not in time: ${isTrue.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
