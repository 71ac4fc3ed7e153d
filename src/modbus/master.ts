import type { ModbusConfig } from "../config/index.ts";
import { reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import { type Bus, clientId, type Message, topic, topicFilter } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import { CommandRefused, carryOut, readCommand } from "./commands.ts";
import { Poller, type SlaveStatus } from "./poller.ts";
import type { Group, Reading, Readings, Slave } from "./readings.ts";
import { createRtuTransport, type RtuLine, silenceMs } from "./rtu.ts";
import { createTcpTransport } from "./tcp.ts";
import type { Transport } from "./transport.ts";
import type { Tag } from "./values.ts";

export interface MasterDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly bus: Bus;
  /** The serial port of that name that was configured for Modbus, and its speed; null without one. */
  line(name: string): (RtuLine & { readonly baudRate: number }) | null;
  /** When values were read: `ts`, ms, and marks of a clock that is not set. */
  stamp(): Readonly<Record<string, string | number | boolean | null>>;
}

/** How one line stands. */
export interface MasterStatus {
  readonly name: string;
  readonly isEnabled: boolean;
  readonly slaves: readonly SlaveStatus[];
  /** Write commands that were done, and that were refused or failed. */
  readonly written: number;
  readonly refused: number;
  /** Messages the broker did not take. */
  readonly unpublished: number;
}

/** Write commands that may wait for the line. */
const MAX_COMMANDS = 100;

/** One Modbus line: polls its slaves, publishes what they say, writes what is asked. */
export class Master {
  readonly #deps: MasterDeps;
  readonly #name: string;
  readonly #cfg: ModbusConfig;
  readonly #transport: Transport;
  readonly #poller: Poller;
  readonly #root: string;
  #unsubscribe: (() => void) | null = null;
  #waiting = 0;
  #written = 0;
  #refused = 0;
  #unpublished = 0;

  constructor(deps: MasterDeps, name: string, cfg: ModbusConfig) {
    this.#deps = deps;
    this.#name = name;
    this.#cfg = cfg;
    this.#root = cfg.topic ?? `modbus/${name}`;
    this.#transport = transportOf(deps, cfg);
    this.#poller = new Poller(
      {
        clock: deps.clock,
        transport: this.#transport,
        onPolled: (slave, group, readings) => this.#tell(slave, group, readings),
      },
      cfg.slaves,
    );
  }

  start(): void {
    const { enable, command_topic } = this.#cfg;
    if (!enable) return;
    if (command_topic !== null) {
      this.#unsubscribe ??= this.#deps.bus.subscribe(topicFilter(command_topic), (message) =>
        this.#command(message),
      );
    }
    this.#poller.start();
  }

  async stop(): Promise<void> {
    this.#unsubscribe?.();
    this.#unsubscribe = null;
    // A request under way ends with the line.
    await this.#transport.stop();
    await this.#poller.stop();
  }

  status(): MasterStatus {
    return {
      name: this.#name,
      isEnabled: this.#cfg.enable,
      slaves: this.#poller.status(),
      written: this.#written,
      refused: this.#refused,
      unpublished: this.#unpublished,
    };
  }

  #tell(slave: Slave, group: Group, readings: Readings): void {
    const news = readings.news();
    if (news === null) return;
    const stamp = this.#deps.stamp();
    const { form } = this.#cfg;
    if (form !== "tags") {
      const values = Object.fromEntries([...news].map(([tag, reading]) => [tag.name, reading]));
      this.#publish(`${this.#root}/${slave.name}/${group.name}`, {
        ...stamp,
        slave: slave.name,
        group: group.name,
        values,
      });
    }
    if (form === "json") return;
    for (const [tag, reading] of news) this.#tellTag(slave, tag, { ...stamp, ...reading });
  }

  #tellTag(slave: Slave, tag: Tag, told: Reading): void {
    this.#publish(`${this.#root}/${slave.name}/${tag.name}`, told);
  }

  #command(message: Message): void {
    this.#carryOut(message).catch((err: unknown) => {
      this.#deps.log.error({ line: this.#name, err }, "a write command failed");
    });
  }

  async #carryOut(message: Message): Promise<void> {
    let isCounted = false;
    try {
      const command = readCommand(message.payload);
      if (this.#waiting >= MAX_COMMANDS) throw new CommandRefused("too many commands", command);
      this.#waiting += 1;
      isCounted = true;
      await this.#poller.command(() =>
        carryOut(command, this.#cfg, (slave, pdu) => this.#poller.ask(slave, pdu)),
      );
      this.#written += 1;
      const { id, slave, tag } = command;
      this.#answer({ id, slave, tag, ok: true });
    } catch (err) {
      if (!(err instanceof CommandRefused)) throw err;
      this.#refused += 1;
      const { id = null, slave, tag } = err.command;
      this.#answer({ id, slave, tag, ok: false, error: err.message });
    } finally {
      if (isCounted) this.#waiting -= 1;
    }
  }

  #answer(result: object): void {
    this.#publish(`${this.#cfg.command_topic}/result`, { ...this.#deps.stamp(), ...result }, false);
  }

  #publish(name: string, told: object, retain = this.#cfg.retain): void {
    const { bus, log } = this.#deps;
    bus
      .publish({
        topic: topic(name),
        payload: Buffer.from(JSON.stringify(told)),
        qos: this.#cfg.qos,
        retain,
        origin: { kind: "api", clientId: clientId(`modbus-${this.#name}`) },
      })
      .catch((err: unknown) => {
        this.#unpublished += 1;
        log.debug({ line: this.#name, err: reasonOf(err) }, "values were not taken");
      });
  }
}

function transportOf({ clock, line }: MasterDeps, cfg: ModbusConfig): Transport {
  const { host, port, tcp_port } = cfg;
  if (host !== null) return createTcpTransport(clock, { host, tcpPort: tcp_port });
  const pauseMs = () => silenceMs(line(port ?? "")?.baudRate ?? 9600) + cfg.pause_ms;
  return createRtuTransport(clock, () => line(port ?? ""), pauseMs);
}
