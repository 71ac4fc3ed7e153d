import { GatewayError } from "../errors/index.ts";
import { isSecret, rowFaults, soundsSecret } from "./collections.ts";
import { faultError } from "./config-errors.ts";
import { MASK, shown } from "./format.ts";
import { KEY_BY_PATH, KEY_BY_VARIABLE, nearest, VARIABLE_PREFIX } from "./keys.ts";

/** The environment of the process, or a part of it. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Chooses the operator's file, as `--config` does. */
export const CONFIG_VARIABLE = "TIDEGATE_CONFIG";

/** Chooses the data directory, as `--data` does. */
export const DATA_VARIABLE = "TIDEGATE_DATA";

/** Where an appliance's defaults are, in place of `/usr/lib/tidegate/defaults.yaml`. */
export const VENDOR_VARIABLE = "TIDEGATE_DEFAULTS";

/** Variables of ours that are not configuration keys. */
const OTHER_VARIABLES: readonly string[] = [CONFIG_VARIABLE, DATA_VARIABLE, VENDOR_VARIABLE];

/** Our variables that are set, and everything wrong with them: a misspelt one must not go unnoticed. */
export function environmentLayer(environment: Environment): {
  readonly variables: ReadonlyMap<string, string>;
  readonly errors: readonly GatewayError[];
} {
  const variables = new Map<string, string>();
  const errors: GatewayError[] = [];
  for (const [variable, text] of Object.entries(environment)) {
    if (!variable.startsWith(VARIABLE_PREFIX) || text === undefined) continue;
    if (OTHER_VARIABLES.includes(variable)) continue;
    const entry = KEY_BY_VARIABLE.get(variable);
    if (entry === undefined) {
      errors.push(unknownVariable(variable, text));
      continue;
    }
    variables.set(variable, text);
    const faults = rowFaults(entry.row, entry.row.format.fromText(text), entry.key);
    errors.push(...faults.map((fault) => faultError(fault, `environment variable ${variable}`)));
  }
  return { variables, errors };
}

/** The same for `--key=value` options of the command line. */
export function optionErrors(options: ReadonlyMap<string, string>): GatewayError[] {
  return [...options].flatMap(([key, text]) => {
    const entry = KEY_BY_PATH.get(key);
    if (entry === undefined) return [];
    const faults = rowFaults(entry.row, entry.row.format.fromText(text), key);
    return faults.map((fault) => faultError(fault, `command line option --${key}`));
  });
}

function unknownVariable(variable: string, text: string): GatewayError {
  const near = nearest(variable, [...KEY_BY_VARIABLE.keys(), ...OTHER_VARIABLES]);
  const meant = KEY_BY_VARIABLE.get(near ?? "");
  const mayBeSecret = soundsSecret(variable) || (meant !== undefined && isSecret(meant.row));
  return new GatewayError("CONFIG_KEY_UNKNOWN", {
    key: shown(variable),
    value: mayBeSecret ? MASK : shown(text),
    source: "the environment",
    hint: near === null ? "expected a key in upper case" : `did you mean ${near}?`,
  });
}
