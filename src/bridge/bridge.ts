import type { BridgeConfig } from "../config/index.ts";
import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import { type Bus, type Outbox, topic, topicFilter } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import { Announcer } from "./announce.ts";
import { type AlarmBell, CertificateWatch } from "./certificates.ts";
import { Delivery } from "./delivery.ts";
import { Egress } from "./egress.ts";
import { Forecast } from "./forecast.ts";
import { Ingress } from "./ingress.ts";
import { Link } from "./link.ts";
import { LoopBreaker } from "./loop-breaker.ts";
import { Meter } from "./meter.ts";
import { OutboxAlarm } from "./outbox-alarm.ts";
import { createRepeatLog } from "./repeats.ts";
import { createHostResolver, type HostResolver } from "./resolve.ts";
import { allRuleNames, ruleKey } from "./rule-names.ts";
import type { BridgeStatus, RuleStatus } from "./status.ts";
import { SysTopic } from "./sys-topic.ts";
import { Tallies } from "./tally.ts";

/** What a bridge needs from the rest of the gateway. */
export interface BridgeDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly bus: Bus;
  /** Names the device in the client id it has at the cloud where none is configured. */
  readonly deviceId: string;
  /** The gateway's name in `$SYS` topics. */
  readonly node: string;
  /** Keeps what waits for the cloud. */
  readonly outbox: Outbox;
  /** Finds the cloud's addresses; bridges share one. */
  readonly resolver?: HostResolver;
  /** Raised: the outbox at 50, 80 and 95 %, certificates 30, 7 and 1 days before they end. */
  readonly alarms?: AlarmBell | undefined;
}

/** One link between the local broker and a cloud broker. */
export interface Bridge {
  readonly config: BridgeConfig;
  start(signal?: AbortSignal): Promise<void>;
  /**
   * Gives the cloud a moment to acknowledge what was forwarded, then ends the link. With
   * `isReplaced` it takes and sends nothing more as soon as this was called, so that a successor
   * started in the same turn misses nothing and doubles nothing.
   */
  stop(how?: { readonly isReplaced: boolean }): Promise<void>;
  status(): BridgeStatus;
  /** Brings the link up or down; a bridge that is down forwards nothing and keeps what waits. */
  setEnabled(on: boolean): void;
  /** Resolves when it is known what became of the dial under way; at once when there is none. */
  settled(): Promise<void>;
  /** The certificate files may be others: connects anew where they are, and are usable. */
  renewCertificates(): Promise<void>;
  resetCounters(): void;
  /** Takes back what `$SYS` tells of it: the bridge is gone for good. */
  retire(): void;
}

/** How long a stop waits for the cloud to acknowledge what was forwarded. */
const FAREWELL_MS = 2000;

/**
 * Builds the bridge called `name`. The link dials on `start`, whose promise does not wait for the
 * cloud: a cloud that is away is a normal state, seen in `status()`. Rules follow the topic rule of
 * `createMapping`; a rule that is at fault (`bridgeFaults`) keeps the original topic.
 */
export function createBridge(deps: BridgeDeps, name: string, cfg: BridgeConfig): Bridge {
  return new CloudBridge(deps, name, cfg);
}

/** The client id of a bridge at the cloud. */
export function bridgeClientId(name: string, cfg: BridgeConfig, deviceId: string): string {
  return cfg.clientid ?? `${cfg.clientid_prefix ?? ""}tidegate-${deviceId}-${name}`;
}

class CloudBridge implements Bridge {
  readonly config: BridgeConfig;
  readonly #name: string;
  readonly #log: Log;
  readonly #outbox: Outbox;
  readonly #link: Link;
  readonly #delivery: Delivery;
  readonly #egress: Egress;
  readonly #ingress: Ingress;
  readonly #announcer: Announcer;
  readonly #tallies: Tallies;
  readonly #breaker: LoopBreaker;
  readonly #alarms: AlarmBell | undefined;
  readonly #forecast: Forecast;
  readonly #outboxAlarm: OutboxAlarm;
  readonly #certificates: CertificateWatch;
  readonly #sysTopic: SysTopic;
  #isStarted = false;
  #isEnabled: boolean;

  constructor(deps: BridgeDeps, name: string, cfg: BridgeConfig) {
    const { clock, bus, alarms } = deps;
    const log = deps.log.child({ part: "bridge" });
    const repeats = createRepeatLog({ log, clock });
    const clientId = bridgeClientId(name, cfg, deps.deviceId);
    const onRefused = (reason: string) => {
      this.#link.report(reason);
      repeats.say("warn", reason, { bridge: name, reason }, "bridge was refused something");
    };
    this.config = cfg;
    this.#alarms = alarms;
    this.#name = name;
    this.#log = log;
    this.#isEnabled = cfg.enable;
    this.#outbox = deps.outbox;
    const tallies = new Tallies(clock);
    this.#tallies = tallies;
    this.#delivery = new Delivery(
      { clock, outbox: this.#outbox, tallies, out: new Meter(clock), onRefused },
      {
        protocolVersion: cfg.proto_ver,
        maxInflight: cfg.max_inflight,
        ackTimeoutMs: 1000 * Math.max(cfg.ack_timeout_s, 2 * cfg.keepalive_s),
        maxPatienceMs: cfg.commit_patience_ms,
        maxMessagesPerS: cfg.drain_max_messages_per_s,
      },
    );
    const breaker = new LoopBreaker(
      {
        clock,
        onCut: (rule, topic) => this.#cut(rule, topic),
        onSuspected: (rule, name) => this.#suspect(rule, name),
        onCleared: (rule) => this.#alarms?.clear(suspectAlarm(rule)),
        onDropped: (rule) => this.#egress.dropInLoop(rule),
        sendProbe: (name, payload) => this.#delivery.sendProbe(name, payload),
        watch: (hear) => bus.subscribe(topicFilter("#"), hear),
      },
      { isAsking: cfg.find_loops },
    );
    this.#breaker = breaker;
    this.#egress = new Egress(
      { bus, outbox: this.#outbox, delivery: this.#delivery, tallies, breaker },
      {
        name,
        rules: cfg.forwards,
        storeQos0: cfg.store_qos0,
        gapTopic: cfg.gap_topic === null ? null : topic(cfg.gap_topic),
        deviceId: deps.deviceId,
        isMarking: cfg.mark_messages && cfg.proto_ver === 5,
      },
    );
    this.#ingress = new Ingress(
      { clock, bus, tallies, breaker, in: new Meter(clock), onRefused },
      { name, protocolVersion: cfg.proto_ver, rules: cfg.subscription, me: deps.deviceId },
    );
    this.#announcer = new Announcer(
      { bus, clock },
      {
        clientId,
        username: cfg.username,
        protocolVersion: cfg.proto_ver,
        keepAliveS: cfg.keepalive_s,
        cleanStart: cfg.clean_start,
      },
    );
    this.#outboxAlarm = new OutboxAlarm(alarms, name);
    this.#forecast = new Forecast(
      clock,
      () => this.#outbox.status(),
      () => this.#lookAtOutbox(),
    );
    this.#certificates = new CertificateWatch({ clock, alarms }, name);
    this.#sysTopic = new SysTopic(
      {
        bus,
        clock,
        status: () => this.status(),
        onTrouble: (err) => this.#logTrouble(err),
      },
      deps.node,
      name,
    );
    this.#link = new Link(
      {
        log: repeats,
        clock,
        resolver: deps.resolver ?? createHostResolver(),
        onCertificate: (role, expiresMs) => this.#certificates.note(role, expiresMs),
        events: {
          onUp: (connection, server) => {
            this.#certificates.wellAgain();
            this.#delivery.attach(connection, server);
            this.#egress.reportGaps();
            this.#watch(this.#ingress.subscribe(connection));
            this.#watch(this.#announcer.announce(true));
          },
          onDown: () => {
            this.#delivery.detach();
            this.#watch(this.#announcer.announce(false));
          },
          onUnreachable: () => this.#watch(this.#announcer.announce(false)),
          onMessage: (message) => this.#ingress.deliver(message),
          onDiscard: (reason) => this.#ingress.drop(reason),
          onReceived: (packetId) => this.#delivery.received(packetId),
          onCertificateTrouble: (reason) => this.#certificates.trouble(reason),
          onDrain: () => this.#delivery.pump(),
          onChange: () => this.#sysTopic.changed(),
        },
      },
      name,
      clientId,
      cfg,
    );
  }

  async start(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#forecast.start();
    this.#certificates.start();
    this.#sysTopic.start();
    this.#apply();
  }

  async stop({ isReplaced } = { isReplaced: false }): Promise<void> {
    if (!this.#isStarted) return;
    this.#isStarted = false;
    this.#egress.stop();
    this.#breaker.stop();
    this.#sysTopic.stop();
    this.#forecast.stop();
    this.#certificates.stop(isReplaced);
    if (isReplaced) this.#clearAlarms();
    else await this.#delivery.idle(FAREWELL_MS);
    await this.#link.stop();
  }

  setEnabled(on: boolean): void {
    this.#isEnabled = on;
    if (this.#isStarted) this.#apply();
  }

  settled(): Promise<void> {
    return this.#link.settled();
  }

  async renewCertificates(): Promise<void> {
    try {
      await this.#link.renewCertificates();
      if (this.#link.state === "connected") this.#certificates.wellAgain();
    } catch (err) {
      const fields = { bridge: this.#name, reason: reasonOf(err) };
      this.#certificates.trouble(reasonOf(err));
      this.#log.error(fields, "the bridge's TLS files cannot be used, its connection stays");
    }
  }

  resetCounters(): void {
    this.#tallies.reset();
  }

  retire(): void {
    this.#sysTopic.remove();
  }

  status(): BridgeStatus {
    const { messages, bytes, oldestAgeMs, dropped } = this.#outbox.status();
    const taken = this.#egress.dropped;
    const down = this.#ingress.dropped;
    return {
      name: this.#name,
      state: this.#link.state,
      lastError: this.#link.lastError,
      sinceMs: this.#link.sinceMs,
      server: this.#link.server,
      reconnects: this.#link.retries,
      depthMessages: messages,
      depthBytes: bytes,
      oldestAgeS: oldestAgeMs === null ? null : Math.round(oldestAgeMs / 1000),
      fillPercent: this.#fillPercent(),
      fullInS: this.#fullInS(),
      inflight: this.#delivery.inflight,
      forwarded: this.#delivery.forwarded,
      received: this.#ingress.received,
      retried: this.#delivery.retried,
      outRate: this.#delivery.rates(),
      inRate: this.#ingress.rates(),
      dropped: {
        ...this.#delivery.dropped,
        ...down,
        ...taken,
        queue_full: dropped.queue_full,
        too_old: dropped.too_old,
        store_full: dropped.store_full,
        invalid_topic: taken.invalid_topic + down.invalid_topic,
        loop: taken.loop + down.loop,
        too_large: dropped.too_large + down.too_large,
      },
      certificates: this.#certificates.certificates(),
      rules: this.#rules(),
    };
  }

  #rules(): readonly RuleStatus[] {
    const names = allRuleNames(this.#name, this.config);
    const rows = (direction: "forward" | "subscription") => {
      const key = direction === "forward" ? "forwards" : "subscription";
      return this.config[key].map((rule, index): RuleStatus => {
        const name = names[key][index] ?? "";
        const uncut = rule.enable ? "active" : "disabled";
        const unique = ruleKey(direction, name);
        const state = this.#breaker.isCut(unique) ? "cut" : uncut;
        return { name, direction, state, ...this.#tallies.of(unique).counters() };
      });
    };
    return [...rows("forward"), ...rows("subscription")];
  }

  get #bounds() {
    return {
      maxMessages: this.config.outbox_max_messages,
      maxBytes: this.config.outbox_max_bytes,
    };
  }

  #fillPercent(): number {
    const { messages, bytes } = this.#outbox.status();
    const { maxMessages, maxBytes } = this.#bounds;
    return Math.round(Math.max(messages / maxMessages, bytes / maxBytes) * 1000) / 10;
  }

  #fullInS(): number | null {
    return this.#forecast.fullInS(this.#bounds);
  }

  #cut(rule: string, topic: string): void {
    const fields = { bridge: this.#name, rule, topic };
    this.#log.error(fields, "a rule of a bridge sends messages round in circles and was cut");
    const reason = `rule ${rule} sends messages round in circles (seen on ${topic}) and was cut`;
    this.#link.report(reason);
    this.#alarms?.raise(loopAlarm(rule), `bridge ${this.#name}: ${reason}`, fields);
  }

  #suspect(rule: string, topic: string): void {
    const fields = { bridge: this.#name, rule, topic };
    this.#log.warn(fields, "a rule of a bridge may send messages round in circles, it was not cut");
    const reason = `rule ${rule} may send messages round in circles (seen on ${topic}), or applications answer each other there; it was not cut`;
    this.#link.report(reason);
    this.#alarms?.raise(suspectAlarm(rule), `bridge ${this.#name}: ${reason}`, fields);
  }

  #clearAlarms(): void {
    this.#outboxAlarm.clear();
    const { forwards, subscription } = allRuleNames(this.#name, this.config);
    const below = subscription.map((name) => ruleKey("subscription", name));
    for (const rule of [...forwards, ...below]) {
      if (this.#breaker.isCut(rule)) this.#alarms?.clear(loopAlarm(rule));
      if (this.#breaker.isSuspected(rule)) this.#alarms?.clear(suspectAlarm(rule));
    }
  }

  #lookAtOutbox(): void {
    if (this.#delivery.isAttached) this.#egress.reportGaps();
    this.#outboxAlarm.look(this.#fillPercent(), this.#fullInS());
  }

  #apply(): void {
    if (this.#isEnabled) {
      this.#egress.start();
      this.#link.start();
    } else {
      this.#egress.stop();
      this.#certificates.wellAgain();
      this.#watch(this.#link.stop());
    }
  }

  /** What goes on beside the link must not end the process. */
  #watch(task: Promise<void>): void {
    task.catch((err: unknown) => this.#logTrouble(err));
  }

  #logTrouble(err: unknown): void {
    this.#log.warn({ bridge: this.#name, reason: reasonOf(err) }, "bridge could not publish here");
  }
}

function loopAlarm(rule: string): string {
  return `bridge_loop_${rule}`;
}

function suspectAlarm(rule: string): string {
  return `bridge_loop_suspected_${rule}`;
}
