import { type BridgeConfig, type Config, type Fault, MASK } from "../../../config/index.ts";
import type { PemTexts } from "../../../services/index.ts";
import { invalid } from "../../parameters.ts";
import type { Change } from "./change.ts";

/** Where the shown values come from. */
export interface Source {
  readonly config: Config;
  readonly pems: PemTexts;
  /** The bridge named `default`, or what it would start from. */
  readonly bridge: BridgeConfig;
}

export type Section = "tls" | "websocket" | "http_server" | "bridge";

/** One member of NanoMQ's configuration object (reference §2) and its canonical counterpart. */
export interface Member {
  /** The object it stands in; null = the top level. */
  readonly section: Section | null;
  readonly name: string;
  /** Other spellings that are accepted. */
  readonly aliases?: readonly string[];
  /** The canonical keys it speaks for. */
  readonly keys: readonly string[];
  /** Shown as `******`, which means unchanged when it comes back; never in a message. */
  readonly isSecret?: true;
  /** Null means unchanged, as `******` does. */
  readonly keepsOnNull?: true;
  show(from: Source): unknown;
  /** Takes a new value. @throws GatewayError PARAMETER_INVALID naming the member as `name` */
  accept(value: unknown, name: string, change: Change): void;
}

interface Row {
  readonly format: { faults(value: unknown, key: string): Fault[] };
}

/** @throws GatewayError PARAMETER_INVALID naming `name` when `value` does not have the row's format */
export function checkFormat(row: Row, value: unknown, name: string, isSecret = false): void {
  const fault = row.format.faults(value, name)[0];
  if (fault !== undefined) throw invalid(fault.key, isSecret ? MASK : fault.value, fault.expected);
}

/** A member that stands for one canonical key with the same values. */
export function plain(
  section: Section | null,
  name: string,
  key: string,
  row: Row,
  show: (config: Config) => unknown,
): Member {
  return {
    section,
    name,
    keys: [key],
    show: ({ config }) => show(config),
    accept(value, field, change) {
      checkFormat(row, value, field);
      change.set(key, value);
    },
  };
}
