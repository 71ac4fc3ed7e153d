import { randomBytes } from "node:crypto";
import type { BridgeConfig } from "../config/index.ts";
import {
  type Bus,
  type Message,
  OUTBOX_LANES,
  type Outbox,
  type OutboxMessage,
  type QoS,
  type Topic,
  topicFilter,
  type Unsubscribe,
} from "../mqtt/index.ts";
import type { Delivery } from "./delivery.ts";
import { gapReports } from "./gap-report.ts";
import type { LoopBreaker, LoopRule } from "./loop-breaker.ts";
import { isProbe, probeFilter } from "./loop-probe.ts";
import { createMapping } from "./mapping.ts";
import { journeyOf, withMarks, withoutSeq } from "./marks.ts";
import { ruleNames } from "./rule-names.ts";
import type { RuleTally, Tallies } from "./tally.ts";

/**
 * Why a message was not taken up: its remote topic is not valid, the outbox cannot keep it, or it has
 * been here before.
 */
export type EgressDropReason = "invalid_topic" | "outbox_failed" | "loop";

export interface EgressDeps {
  readonly bus: Bus;
  readonly outbox: Outbox;
  readonly delivery: Delivery;
  readonly tallies: Tallies;
  readonly breaker: LoopBreaker;
}

export interface EgressConfig {
  readonly name: string;
  readonly rules: BridgeConfig["forwards"];
  /** QoS 0 waits too while the link is down, or while older messages wait. */
  readonly storeQos0: boolean;
  /** Where gaps are reported; null = nowhere. */
  readonly gapTopic: Topic | null;
  readonly deviceId: string;
  /** Messages are marked with the gateways they have passed (MQTT 5.0). */
  readonly isMarking: boolean;
}

interface CompiledRule extends LoopRule {
  readonly tally: RuleTally;
  readonly qos: QoS | null;
  readonly retain: boolean | null;
}

/**
 * Here → cloud, the local half: picks what the forward rules select, under its remote topic. Every
 * rule that matches forwards a message of its own. QoS 1 and 2 wait in the outbox, and the publisher
 * until that has them; QoS 0 goes at once, or waits too.
 */
export class Egress {
  readonly #deps: EgressDeps;
  readonly #cfg: EgressConfig;
  #subscriptions: readonly Unsubscribe[] = [];
  /**
   * By lane: with the number it names a message among all that any bridge has ever marked. Numbers of
   * one name arrive in order, which is what the far side needs to know a repetition.
   */
  readonly #marks = Array.from({ length: OUTBOX_LANES }, () => ({
    epoch: randomBytes(8).toString("hex"),
    marked: 0,
  }));
  readonly #dropped: Record<EgressDropReason, number> = {
    invalid_topic: 0,
    outbox_failed: 0,
    loop: 0,
  };

  constructor(deps: EgressDeps, cfg: EgressConfig) {
    this.#deps = deps;
    this.#cfg = cfg;
  }

  get dropped(): Readonly<Record<EgressDropReason, number>> {
    return this.#dropped;
  }

  /** Counts a message that a rule gave up because it goes round. */
  dropInLoop(rule: string): void {
    this.#dropped.loop += 1;
    this.#deps.tallies.find(rule)?.drop();
  }

  start(): void {
    if (this.#subscriptions.length > 0) return;
    const names = ruleNames(this.#cfg.name, "forward", this.#cfg.rules);
    this.#subscriptions = this.#cfg.rules.flatMap((rule, index) => {
      if (!rule.enable) return [];
      const name = names[index] ?? "";
      const mapped = { ...rule, pattern: rule.local_topic, target: rule.remote_topic };
      const compiled: CompiledRule = {
        name,
        filter: rule.local_topic,
        tally: this.#deps.tallies.of(name),
        map: createMapping(mapped),
        qos: rule.qos,
        retain: rule.retain,
      };
      const handler = (message: Message) => this.#forward(compiled, message);
      const probes = probeFilter(rule.local_topic);
      return [rule.local_topic, ...(probes === null ? [] : [probes])].map((filter) =>
        this.#deps.bus.subscribe(topicFilter(filter), handler),
      );
    });
  }

  stop(): void {
    for (const unsubscribe of this.#subscriptions) unsubscribe();
    this.#subscriptions = [];
  }

  /** Tells the cloud, behind what already waits, what was given up. */
  reportGaps(): void {
    const { outbox, delivery } = this.#deps;
    const { gapTopic, deviceId, name } = this.#cfg;
    const gaps = gapTopic === null ? [] : outbox.gaps();
    if (gapTopic === null || gaps.length === 0) return;
    outbox.report(gapReports(gaps, { topic: gapTopic, device: deviceId, bridge: name }));
    delivery.pump();
  }

  #forward(rule: CompiledRule, message: Message): void | Promise<void> {
    const { origin, topic, payload, properties } = message;
    if (origin.kind === "bridge" && origin.bridge === this.#cfg.name) return;
    if (topic.startsWith("$")) return;
    const { breaker } = this.#deps;
    if (isProbe(topic)) {
      breaker.probe(rule, message);
      return;
    }
    rule.tally.match();
    const me = this.#cfg.isMarking ? this.#cfg.deviceId : null;
    if (breaker.isCut(rule.name)) {
      this.dropInLoop(rule.name);
      return;
    }
    if (me !== null && journeyOf(properties, me) !== "new") {
      this.dropInLoop(rule.name);
      breaker.returned(rule.name, topic);
      return;
    }
    const remoteTopic = rule.map(topic);
    if (remoteTopic === null) {
      this.#dropped.invalid_topic += 1;
      rule.tally.drop();
      return;
    }
    const outbound: OutboxMessage = {
      topic: remoteTopic,
      payload,
      qos: rule.qos ?? message.qos,
      retain: rule.retain ?? message.retain,
      ...(properties !== undefined && { properties }),
      rule: rule.name,
    };
    return breaker.pass(rule, message, () => this.#send(rule, message, outbound));
  }

  /** Marked where the link can carry marks; QoS 0 is never sent twice and needs no number. */
  #marked(message: OutboxMessage): OutboxMessage {
    const { isMarking, deviceId } = this.#cfg;
    const { topic, qos, properties } = message;
    if (!isMarking) {
      const rest = withoutSeq(properties);
      return rest === undefined || rest === properties ? message : { ...message, properties: rest };
    }
    if (qos === 0) return { ...message, properties: withMarks(properties, deviceId, null) };
    const { outbox, delivery } = this.#deps;
    const mark = this.#marks[outbox.laneFor(topic, delivery.isAttached)];
    const seq = mark === undefined ? null : `${mark.epoch}.${++mark.marked}`;
    return { ...message, properties: withMarks(properties, deviceId, seq) };
  }

  #send(rule: CompiledRule, message: Message, unmarked: OutboxMessage): void | Promise<void> {
    const { outbox, delivery } = this.#deps;
    const { isAttached } = delivery;
    const outbound = this.#marked(unmarked);
    if (outbound.qos === 0) {
      // Behind older messages of its topic it must wait.
      if (isAttached && !outbox.isWaiting(outbound.topic)) delivery.sendAtOnce(outbound);
      else if (this.#cfg.storeQos0) {
        void outbox.append(outbound, 1, isAttached);
        delivery.pump();
      } else delivery.sendAtOnce(outbound);
      return;
    }
    const patienceMs = isAttached && outbound.qos === 1 ? delivery.patienceMs : 0;
    const safe = outbox.append(outbound, patienceMs, isAttached);
    delivery.pump();
    if (outbound.qos === 2) {
      // It is handed out only once it is durable.
      safe.then(
        () => delivery.pump(),
        () => {},
      );
    }
    if (message.qos > 0) return safe;
    // Nobody waits for a QoS 0 message that the rule raised.
    safe.catch(() => {
      this.#dropped.outbox_failed += 1;
      rule.tally.fail();
    });
  }
}
