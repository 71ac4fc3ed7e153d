import type { ModbusConfig as LineConfig } from "../config/index.ts";
import { Master, type MasterDeps, type MasterStatus } from "./master.ts";

export type ModbusDeps = MasterDeps;
export type ModbusConfig = Readonly<Record<string, LineConfig>>;

/** The Modbus lines of the gateway. */
export interface Modbus {
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /** Lines whose settings differ begin anew, the others are left alone. */
  reconfigure(next: ModbusConfig): Promise<void>;
  status(): readonly MasterStatus[];
}

/**
 * Builds the lines of `cfg`. Each group of tags is polled with its period and published as JSON
 * `{ts, slave, group, values: {<tag>: {value, quality, age_ms, unit?, error?}}}` to
 * `<topic>/<slave>/<group>`, and each tag to `<topic>/<slave>/<tag>` where that is configured.
 */
export function createModbus(deps: ModbusDeps, cfg: ModbusConfig): Modbus {
  const masters = new Map<string, { readonly text: string; readonly master: Master }>();
  let isStarted = false;
  let turn: Promise<unknown> = Promise.resolve();

  function add(name: string, line: LineConfig): void {
    const log = deps.log.child({ part: "modbus" });
    const master = new Master({ ...deps, log }, name, line);
    masters.set(name, { text: JSON.stringify(line), master });
    if (isStarted) master.start();
  }

  async function apply(next: ModbusConfig): Promise<void> {
    for (const [name, { text, master }] of masters) {
      if (Object.hasOwn(next, name) && JSON.stringify(next[name]) === text) continue;
      masters.delete(name);
      await master.stop();
    }
    for (const [name, line] of Object.entries(next)) if (!masters.has(name)) add(name, line);
  }

  for (const [name, line] of Object.entries(cfg)) add(name, line);

  return {
    async start() {
      isStarted = true;
      for (const { master } of masters.values()) master.start();
    },
    async stop() {
      isStarted = false;
      await Promise.all([...masters.values()].map(({ master }) => master.stop()));
    },
    reconfigure(next) {
      const done = turn.then(() => apply(next));
      turn = done.catch(() => undefined);
      return done;
    },
    status: () => [...masters.values()].map(({ master }) => master.status()),
  };
}
