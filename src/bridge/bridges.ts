import { randomBytes } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { BridgeConfig } from "../config/index.ts";
import { reasonOf } from "../errors/index.ts";
import type { Outbox } from "../mqtt/index.ts";
import { type Bridge, type BridgeDeps, bridgeClientId, createBridge } from "./bridge.ts";
import { probeServer } from "./probe.ts";
import { createHostResolver } from "./resolve.ts";
import type { BridgeStatus } from "./status.ts";
import { statusObject } from "./sys-topic.ts";

/** What the bridges need from the rest of the gateway. */
export interface BridgesDeps extends Omit<BridgeDeps, "outbox" | "resolver"> {
  /** Opens what keeps the messages of a bridge, each time the bridge is built. */
  openOutbox(name: string, cfg: BridgeConfig): Outbox;
  /** The bridge is gone for good, and what waited for its cloud with it; never rejects. */
  dropOutbox(name: string): Promise<void>;
  /** Every outbox something waits in, of whatever bridge. */
  waiting(): readonly {
    readonly name: string;
    readonly messages: number;
    readonly bytes: number;
  }[];
}

/** A bridge with the configuration it runs by. */
export interface BridgeEntry {
  readonly name: string;
  readonly config: BridgeConfig;
  readonly status: BridgeStatus;
  /** The status as the `$SYS` topic tells it. */
  readonly report: Readonly<Record<string, unknown>>;
}

/** All bridges of a gateway, which come, change and go while it runs. */
export interface Bridges {
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /** In the order of the configuration. */
  list(): readonly BridgeEntry[];
  find(name: string): BridgeEntry | null;
  /**
   * Makes the bridges those of `next`: new ones start, those that differ are built anew and keep what
   * waits, those that are gone stop. Bridges that are the same notice nothing.
   */
  apply(next: Readonly<Record<string, BridgeConfig>>): void;
  /** Switches a bridge until its configuration changes; false when there is none of that name. */
  setEnabled(name: string, isOn: boolean): boolean;
  /** Connects anew and resolves with what became of it; null when there is none of that name. */
  restart(name: string): Promise<BridgeStatus | null>;
  /** Resolves when the dial under way has ended. */
  settled(name: string): Promise<void>;
  /** Whether a bridge of this configuration could connect: null, or why not in words. */
  probe(name: string, cfg: BridgeConfig): Promise<string | null>;
  resetCounters(name: string): void;
  /**
   * Gives up what waits for a bridge that went from the configuration while the gateway was off;
   * resolves when it is gone from the disk, with false when there is a bridge of that name, or nothing waits. Until then it is kept, and told of by
   * the alarm `bridge_left_<name>`: the name may come back.
   */
  forget(name: string): Promise<boolean>;
  /** Uses renewed certificate files. */
  renewCertificates(): Promise<void>;
}

/** Builds the bridges of a configuration; nothing happens before `start`. */
export function createBridges(
  deps: BridgesDeps,
  cfg: Readonly<Record<string, BridgeConfig>>,
): Bridges {
  return new CloudBridges(deps, cfg);
}

class CloudBridges implements Bridges {
  readonly #deps: BridgesDeps;
  readonly #resolver = createHostResolver();
  readonly #bridges = new Map<string, Bridge>();
  /** Bridges on their way out, so that `stop` waits for them. */
  readonly #leaving = new Set<Promise<void>>();
  /** Not configured, though messages wait for them. */
  readonly #left = new Set<string>();
  #isStarted = false;

  constructor(deps: BridgesDeps, cfg: Readonly<Record<string, BridgeConfig>>) {
    this.#deps = deps;
    for (const [name, bridge] of Object.entries(cfg)) {
      this.#bridges.set(name, this.#build(name, bridge));
    }
  }

  async start(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#isStarted = true;
    await Promise.all([...this.#bridges.values()].map((bridge) => bridge.start(signal)));
    for (const { name, messages, bytes } of this.#deps.waiting()) {
      if (!this.#bridges.has(name)) this.#tellLeft(name, messages, bytes);
    }
  }

  async stop(): Promise<void> {
    this.#isStarted = false;
    await Promise.all([
      ...this.#leaving,
      ...[...this.#bridges.values()].map((bridge) => bridge.stop()),
    ]);
  }

  list(): readonly BridgeEntry[] {
    return [...this.#bridges.values()].map(entryOf);
  }

  find(name: string): BridgeEntry | null {
    const bridge = this.#bridges.get(name);
    return bridge === undefined ? null : entryOf(bridge);
  }

  apply(next: Readonly<Record<string, BridgeConfig>>): void {
    for (const [name, bridge] of this.#bridges) {
      if (Object.hasOwn(next, name)) continue;
      this.#bridges.delete(name);
      this.#leave(bridge, () => {
        bridge.retire();
        // One of the same name may have come meanwhile.
        if (!this.#bridges.has(name)) void this.#deps.dropOutbox(name);
      });
    }
    for (const [name, cfg] of Object.entries(next)) {
      const before = this.#bridges.get(name);
      if (before !== undefined && isDeepStrictEqual(before.config, cfg)) continue;
      this.#replace(name, cfg);
    }
  }

  setEnabled(name: string, isOn: boolean): boolean {
    const bridge = this.#bridges.get(name);
    bridge?.setEnabled(isOn);
    return bridge !== undefined;
  }

  async restart(name: string): Promise<BridgeStatus | null> {
    const bridge = this.#bridges.get(name);
    if (bridge === undefined) return null;
    const next = this.#replace(name, bridge.config);
    await next.settled();
    return next.status();
  }

  async settled(name: string): Promise<void> {
    await this.#bridges.get(name)?.settled();
  }

  probe(name: string, cfg: BridgeConfig): Promise<string | null> {
    const id = `${bridgeClientId(name, cfg, this.#deps.deviceId)}-${randomBytes(3).toString("hex")}`;
    return probeServer({ clock: this.#deps.clock, resolver: this.#resolver }, id, cfg);
  }

  resetCounters(name: string): void {
    this.#bridges.get(name)?.resetCounters();
  }

  async renewCertificates(): Promise<void> {
    await Promise.all([...this.#bridges.values()].map((bridge) => bridge.renewCertificates()));
  }

  async forget(name: string): Promise<boolean> {
    if (!this.#left.has(name)) return false;
    this.#notLeft(name);
    await this.#deps.dropOutbox(name);
    return true;
  }

  #tellLeft(name: string, messages: number, bytes: number): void {
    this.#left.add(name);
    const fields = { bridge: name, messages, bytes };
    this.#deps.log.warn(fields, "messages wait for a bridge that is not configured any more");
    this.#deps.alarms?.raise(
      leftAlarm(name),
      `${messages} messages wait for bridge ${name}, which is not configured any more: configure it again, or DELETE /api/v5/bridges/mqtt:${name}`,
      fields,
    );
  }

  #notLeft(name: string): void {
    if (this.#left.delete(name)) this.#deps.alarms?.clear(leftAlarm(name));
  }

  #build(name: string, cfg: BridgeConfig): Bridge {
    this.#notLeft(name);
    const { openOutbox, dropOutbox, waiting, ...deps } = this.#deps;
    const outbox = openOutbox(name, cfg);
    return createBridge({ ...deps, resolver: this.#resolver, outbox }, name, cfg);
  }

  /** In one turn: what is published meanwhile reaches the old bridge or the new one, and only one. */
  #replace(name: string, cfg: BridgeConfig): Bridge {
    const before = this.#bridges.get(name);
    if (before !== undefined) this.#leave(before, () => {});
    const next = this.#build(name, cfg);
    this.#bridges.set(name, next);
    if (this.#isStarted) void next.start();
    return next;
  }

  #leave(bridge: Bridge, done: () => void): void {
    const left = bridge
      .stop({ isReplaced: true })
      .then(done)
      .catch((err: unknown) => {
        const reason = reasonOf(err);
        this.#deps.log.error({ reason }, "a bridge could not be stopped in order");
      })
      .finally(() => this.#leaving.delete(left));
    this.#leaving.add(left);
  }
}

function leftAlarm(name: string): string {
  return `bridge_left_${name}`;
}

function entryOf(bridge: Bridge): BridgeEntry {
  const status = bridge.status();
  return { name: status.name, config: bridge.config, status, report: statusObject(status) };
}
