import { type ModbusConfig, SCHEMA } from "../config/index.ts";
import type { Tag } from "./values.ts";

type Deep<T> = T extends readonly (infer E)[]
  ? readonly Deep<E>[]
  : T extends object
    ? { readonly [K in keyof T]?: Deep<T[K]> }
    : T;

/** A line's configuration with everything else at its default. */
export function lineConfig(more: Deep<ModbusConfig>): ModbusConfig {
  const faults = SCHEMA.modbus.format.faults({ line: more }, "modbus");
  if (faults.length > 0) throw new Error(JSON.stringify(faults));
  const { line } = SCHEMA.modbus.format.complete({ line: more as ModbusConfig });
  if (line === undefined) throw new Error("no line");
  return line;
}

/** A tag with everything else at its default. */
export function tag(more: Deep<Tag>): Tag {
  const whole = lineConfig({
    host: "h",
    slaves: [{ name: "s", groups: [{ name: "g", tags: [{ name: "t", ...more }] }] }],
  });
  const found = whole.slaves[0]?.groups[0]?.tags[0];
  if (found === undefined) throw new Error("no tag");
  return found;
}
