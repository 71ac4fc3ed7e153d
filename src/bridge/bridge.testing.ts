import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { vi } from "vitest";
import { type BridgeConfig, completeBridge } from "../config/index.ts";
import { createLog } from "../log/index.ts";
import { systemClock } from "../time/index.ts";
import { type Bridge, type BridgeDeps, createBridge } from "./bridge.ts";
import { MemoryBus } from "./bus.testing.ts";
import { TestOutbox } from "./outbox.testing.ts";
import type { BridgeStatus } from "./status.ts";

/** A valid bridge configuration with short delays. */
export function bridgeConfig(more: Partial<BridgeConfig> = {}): BridgeConfig {
  return { ...completeBridge({}), backoff_min_s: 0.02, backoff_max_s: 0.2, ...more };
}

export function forward(
  local: string,
  remote = "",
  more: Partial<BridgeConfig["forwards"][number]> = {},
): BridgeConfig["forwards"][number] {
  const keep = { qos: null, retain: null, prefix: "", suffix: "" };
  return { ...UNNAMED, local_topic: local, remote_topic: remote, ...keep, ...more };
}

export function subscription(
  remote: string,
  local = "",
  more: Partial<BridgeConfig["subscription"][number]> = {},
): BridgeConfig["subscription"][number] {
  const keep = { qos: 1 as const, retain: null, prefix: "", suffix: "" };
  return { ...UNNAMED, remote_topic: remote, local_topic: local, ...keep, ...more };
}

const UNNAMED = { name: null, enable: true, description: "", tags: [] };

/** A started bridge on a bus of its own. */
export class TestBridge implements AsyncDisposable {
  readonly bus = new MemoryBus();
  readonly outbox = new TestOutbox(systemClock);
  readonly lines: Record<string, unknown>[] = [];
  readonly bridge: Bridge;

  private constructor(cfg: Partial<BridgeConfig>, more: Partial<BridgeDeps>) {
    const log = createLog(
      { level: "debug" },
      { write: (line: string) => this.lines.push(JSON.parse(line)) },
    );
    this.bridge = createBridge(
      {
        log,
        clock: systemClock,
        bus: this.bus,
        deviceId: "d1",
        node: "n1",
        outbox: this.outbox,
        ...more,
      },
      "cloud",
      bridgeConfig(cfg),
    );
  }

  static async start(
    cfg: Partial<BridgeConfig>,
    more: Partial<BridgeDeps> = {},
  ): Promise<TestBridge> {
    const test = new TestBridge({ connect_timeout_s: 5, ...cfg }, more);
    await test.bridge.start();
    return test;
  }

  status(): BridgeStatus {
    return this.bridge.status();
  }

  async connected(): Promise<void> {
    await eventually(() => {
      if (this.status().state !== "connected") throw new Error(JSON.stringify(this.status()));
    });
  }

  /** The first reason why it could not connect, or lost its connection. */
  trouble(): Promise<string> {
    return eventually(() => {
      const { lastError } = this.status();
      if (lastError === null) throw new Error("no trouble yet");
      return lastError;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.bridge.stop();
  }
}

/** Waits until `check` throws no more. */
export function eventually<T>(check: () => T, timeoutMs = 10_000): Promise<T> {
  return vi.waitFor(check, { timeout: timeoutMs, interval: 5 });
}

/** A client at the cloud that writes down what it gets. */
export class CloudClient implements AsyncDisposable {
  readonly client: MqttClient;
  /** `topic payload`, with ` retained` behind where the flag is set. */
  readonly got: string[] = [];

  private constructor(client: MqttClient) {
    this.client = client;
    client.on("message", (topic, payload, packet) => {
      this.got.push(`${topic} ${payload.toString()}${packet.retain ? " retained" : ""}`);
    });
  }

  static async connect(tcpPort: number, options: IClientOptions = {}): Promise<CloudClient> {
    const url = `mqtt://127.0.0.1:${tcpPort}`;
    return new CloudClient(await connectAsync(url, { reconnectPeriod: 50, ...options }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.endAsync(true);
  }
}
