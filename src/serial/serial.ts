import type { SerialPortConfig } from "../config/index.ts";
import type { Log } from "../log/index.ts";
import type { Bus } from "../mqtt/index.ts";
import type { Clock } from "../time/index.ts";
import { FramePort, type FramePortStatus } from "./frame-port.ts";
import type { LineStatus } from "./line.ts";
import type { ReadingStamp } from "./payload.ts";
import { SharedLine } from "./shared-line.ts";

/** What the serial ports need from the rest of the gateway. */
export interface SerialDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly bus: Bus;
  /** When something was read, for the JSON form: `ts` and marks of a clock that is not set. */
  stamp(): ReadingStamp;
}

export type SerialConfig = Readonly<Record<string, SerialPortConfig>>;

/** One port as the API shows it. */
export type SerialPortStatus = (LineStatus | FramePortStatus) & {
  readonly name: string;
  readonly use: SerialPortConfig["use"];
};

/** A line that a master asks on, request by request. */
export interface RequestLine {
  readonly isOpen: boolean;
  readonly baudRate: number;
  /** Sends `request` and hands every byte that comes to `onData` until `release`. */
  send(request: Buffer, onData: (chunk: Buffer) => void): Promise<void>;
  /** Bytes that come from now on belong to nobody and are forgotten. */
  release(): void;
}

/** The serial ports of the gateway. */
export interface Serial {
  /** Opens the ports; one that is away or in use is looked for every second. */
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /** Ports whose settings differ are closed and opened with the new ones, the others are left alone. */
  reconfigure(next: SerialConfig): Promise<void>;
  status(): readonly SerialPortStatus[];
  /** The port called `name` with `use: modbus`; null when there is none. */
  line(name: string): RequestLine | null;
}

interface Member {
  readonly text: string;
  readonly cfg: SerialPortConfig;
  readonly port: FramePort | SharedLine;
}

/** Builds the ports of `cfg`; nothing is opened before `start`. */
export function createSerial(deps: SerialDeps, cfg: SerialConfig): Serial {
  const members = new Map<string, Member>();
  let isStarted = false;
  let turn: Promise<unknown> = Promise.resolve();

  function build(name: string, port: SerialPortConfig): Member {
    const log = deps.log.child({ part: "serial" });
    const built =
      port.use === "modbus"
        ? new SharedLine({ log, clock: deps.clock }, name, port)
        : new FramePort({ ...deps, log }, name, port);
    return { text: JSON.stringify(port), cfg: port, port: built };
  }

  async function apply(next: SerialConfig): Promise<void> {
    for (const [name, { text, port }] of members) {
      const wanted = Object.hasOwn(next, name) ? next[name] : undefined;
      if (wanted !== undefined && JSON.stringify(wanted) === text) continue;
      members.delete(name);
      await port.stop();
    }
    for (const [name, port] of Object.entries(next)) {
      if (members.has(name)) continue;
      const member = build(name, port);
      members.set(name, member);
      if (isStarted) await member.port.start();
    }
  }

  /** One change after the other. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = turn.then(work);
    turn = done.catch(() => undefined);
    return done;
  }

  for (const [name, port] of Object.entries(cfg)) members.set(name, build(name, port));

  return {
    async start() {
      isStarted = true;
      await inTurn(async () => {
        await Promise.all([...members.values()].map(({ port }) => port.start()));
      });
    },
    async stop() {
      isStarted = false;
      await inTurn(async () => {
        await Promise.all([...members.values()].map(({ port }) => port.stop()));
      });
    },
    reconfigure: (next) => inTurn(() => apply(next)),
    status: () =>
      [...members].map(
        ([
          name,
          {
            cfg: { use },
            port,
          },
        ]) => ({ ...port.status(), name, use }),
      ),
    line(name) {
      const port = members.get(name)?.port;
      return port instanceof SharedLine ? port : null;
    },
  };
}
