import { tagWidth } from "../config/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import { ModbusFault } from "./fault.ts";
import { readData, readRequest } from "./pdu.ts";
import { type Batch, planReads } from "./plan.ts";
import { type Group, Readings, type Slave } from "./readings.ts";
import type { Transport } from "./transport.ts";
import { readValue } from "./values.ts";

/** How one slave stands. */
export interface SlaveStatus {
  readonly name: string;
  readonly unit: number;
  /** unknown: not asked yet. away: the last request had no answer. */
  readonly state: "unknown" | "good" | "away";
  readonly lastError: string | null;
  readonly requests: number;
  readonly timeouts: number;
  readonly exceptions: number;
  readonly garbled: number;
  /** Polls that began so late that the next was due already. */
  readonly late: number;
}

interface Job {
  readonly slave: SlaveState;
  readonly group: Group;
  readonly batches: readonly Batch[];
  readonly readings: Readings;
  dueMs: number;
}

interface SlaveState {
  readonly cfg: Slave;
  state: SlaveStatus["state"];
  lastError: string | null;
  /** While away it is not asked before this time, monotonic ms. */
  retryMs: number;
  requests: number;
  timeouts: number;
  exceptions: number;
  garbled: number;
  late: number;
}

export interface PollerDeps {
  readonly clock: Clock;
  readonly transport: Transport;
  /** Called after each poll of a group. */
  onPolled(slave: Slave, group: Group, readings: Readings): void;
}

/**
 * Asks the slaves of one line, one request at a time. A slave that is silent costs the others its
 * timeout (times its tries) once, and then one timeout each `away_retry_s`: between two of those it
 * is not asked.
 */
export class Poller {
  readonly #deps: PollerDeps;
  readonly #slaves: readonly SlaveState[];
  readonly #jobs: readonly Job[];
  /** Work that goes before the next poll. */
  readonly #commands: (() => Promise<void>)[] = [];
  #timer: Timer | null = null;
  #isBusy = false;
  #isRunning = false;
  #done: Promise<void> = Promise.resolve();

  constructor(deps: PollerDeps, slaves: readonly Slave[]) {
    this.#deps = deps;
    this.#slaves = slaves.map((cfg) => ({
      ...{ cfg, state: "unknown" as const, lastError: null, retryMs: Number.NEGATIVE_INFINITY },
      ...{ requests: 0, timeouts: 0, exceptions: 0, garbled: 0, late: 0 },
    }));
    this.#jobs = this.#slaves.flatMap((slave) =>
      slave.cfg.groups.map((group) => ({
        slave,
        group,
        batches: planReads(group.tags, {
          maxGap: slave.cfg.max_gap,
          maxRegisters: slave.cfg.max_registers,
        }),
        readings: new Readings(deps.clock, group),
        dueMs: 0,
      })),
    );
  }

  start(): void {
    this.#isRunning = true;
    const nowMs = this.#deps.clock.monotonicMs();
    for (const job of this.#jobs) job.dueMs = nowMs;
    this.#next();
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#timer?.cancel();
    this.#timer = null;
    await this.#done;
  }

  status(): readonly SlaveStatus[] {
    return this.#slaves.map(({ cfg, state, lastError, ...counts }) => ({
      ...{ name: cfg.name, unit: cfg.unit, state, lastError, requests: counts.requests },
      ...{ timeouts: counts.timeouts, exceptions: counts.exceptions },
      ...{ garbled: counts.garbled, late: counts.late },
    }));
  }

  /** Runs `work`, which uses the line, before the next poll. */
  command<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#commands.push(() => work().then(resolve, reject));
      this.#next();
    });
  }

  /**
   * One request with the slave's tries, counted.
   * @throws ModbusFault
   */
  async ask(unitName: string, pdu: Buffer): Promise<Buffer> {
    const slave = this.#slaves.find(({ cfg }) => cfg.name === unitName);
    if (slave === undefined) throw new ModbusFault("line", `there is no slave ${unitName}`);
    return this.#ask(slave, pdu);
  }

  #next(): void {
    if (this.#isBusy || !this.#isRunning) return;
    this.#timer?.cancel();
    this.#timer = null;
    const command = this.#commands.shift();
    if (command !== undefined) {
      this.#run(command);
      return;
    }
    const job = this.#jobs.reduce<Job | null>(
      (first, each) => (first === null || dueOf(each) < dueOf(first) ? each : first),
      null,
    );
    if (job === null) return;
    const restMs = dueOf(job) - this.#deps.clock.monotonicMs();
    if (restMs <= 0) this.#run(() => this.#poll(job));
    else this.#timer = this.#deps.clock.after(Math.ceil(restMs), () => this.#next());
  }

  #run(work: () => Promise<void>): void {
    this.#isBusy = true;
    this.#done = work().finally(() => {
      this.#isBusy = false;
      this.#next();
    });
  }

  async #poll(job: Job): Promise<void> {
    const { slave, group, batches, readings } = job;
    for (const batch of batches) {
      if (!this.#isRunning) return;
      try {
        const request = readRequest(batch.area, batch.address, batch.count);
        take(batch, readings, readData(request, await this.#ask(slave, request)));
      } catch (err) {
        if (!(err instanceof ModbusFault)) throw err;
        for (const tag of batch.tags) readings.failed(tag, err.message);
        if (slave.state !== "away") continue;
        // Nobody there: to ask for the rest would only cost the others more timeouts.
        this.#failAll(job, err.message);
        break;
      }
    }
    this.#deps.onPolled(slave.cfg, group, readings);
    const periodMs = group.period_s * 1000;
    const nowMs = this.#deps.clock.monotonicMs();
    job.dueMs += periodMs;
    if (job.dueMs <= nowMs) {
      if (slave.state !== "away") slave.late += 1;
      job.dueMs += Math.ceil((nowMs - job.dueMs) / periodMs) * periodMs;
    }
  }

  /** None of a slave's values is good any more, in none of its groups. */
  #failAll(failed: Job, reason: string): void {
    for (const job of this.#jobs) {
      if (job.slave !== failed.slave) continue;
      for (const tag of job.group.tags) job.readings.failed(tag, reason);
      if (job !== failed) this.#deps.onPolled(job.slave.cfg, job.group, job.readings);
    }
  }

  async #ask(slave: SlaveState, pdu: Buffer): Promise<Buffer> {
    const { unit, timeout_ms, retries, away_retry_s } = slave.cfg;
    const tries = slave.state === "away" ? 1 : 1 + retries;
    for (let attempt = 1; ; attempt++) {
      slave.requests += 1;
      try {
        const answer = await this.#deps.transport.request(unit, pdu, timeout_ms);
        slave.state = "good";
        slave.lastError = null;
        if (((answer[0] ?? 0) & 0x80) !== 0) slave.exceptions += 1;
        return answer;
      } catch (err) {
        if (!(err instanceof ModbusFault)) throw err;
        slave.lastError = err.message;
        if (err.kind === "timeout") slave.timeouts += 1;
        if (err.kind === "garbled") slave.garbled += 1;
        if (attempt < tries && err.kind !== "line") continue;
        slave.state = "away";
        slave.retryMs = this.#deps.clock.monotonicMs() + awayMs(err, away_retry_s);
        throw err;
      }
    }
  }
}

/** A line that is not there is not the slave's fault, and costs no timeout to ask again. */
function awayMs(fault: ModbusFault, awayRetryS: number): number {
  return fault.kind === "line" ? 1000 : awayRetryS * 1000;
}

function dueOf({ dueMs, slave }: Job): number {
  return slave.state === "away" ? Math.max(dueMs, slave.retryMs) : dueMs;
}

function take(batch: Batch, readings: Readings, data: Buffer): void {
  for (const tag of batch.tags) {
    const at = tag.address - batch.address;
    if (tag.type === "bool") {
      const isOn = ((data[at >> 3] ?? 0) >> (at & 7)) & 1;
      readings.read(tag, isOn === 1);
    } else {
      readings.read(tag, readValue(tag, data.subarray(2 * at, 2 * (at + tagWidth(tag)))));
    }
  }
}
