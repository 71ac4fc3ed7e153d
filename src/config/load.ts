import { resolve } from "node:path";
import { GatewayError } from "../errors/index.ts";
import { configErrors, faultErrors, throwFirst } from "./config-errors.ts";
import { configPaths, readConfigFile } from "./config-files.ts";
import { type Environment, environmentLayer, optionErrors } from "./environment.ts";
import type { Values } from "./format.ts";
import { contentHash } from "./history.ts";
import { type Layers, layerFaults, mergeLayers, NO_LAYERS, withoutEmpty } from "./layers.ts";
import type { Config } from "./schema.ts";
import { readVendorFile } from "./vendor.ts";
import { parseYaml } from "./yaml-text.ts";

/** The operator's file when none is named; it need not exist. */
export const DEFAULT_CONFIG_FILE = "/etc/tidegate/tidegate.yaml";

/** Where a configuration comes from. */
export interface ConfigInput {
  /** The operator's file, which must then exist; null for `/etc/tidegate/tidegate.yaml` if there is one. */
  readonly configFile: string | null;
  /** The service's own directory. */
  readonly dataDir: string;
  readonly env: Environment;
  /** Texts of `--key=value` options by key. */
  readonly options?: ReadonlyMap<string, string>;
}

/** A configuration, and what a `ConfigStore` needs to know about where it came from. */
export interface LoadedConfig {
  /** Validated, complete, deep-frozen. */
  readonly config: Config;
  readonly dataDir: string;
  /** The operator's file that was read, null without one. */
  readonly operatorFile: string | null;
  /** SHA-256 of its bytes. */
  readonly operatorHash: string | null;
  readonly layers: Layers;
  /** The bytes of `current.yaml`, null without one. */
  readonly currentBytes: Buffer | null;
}

/**
 * Reads all layers: defaults < appliance's defaults < operator's file < `<data>/config/current.yaml` < environment <
 * command line. Writes nothing.
 * @throws GatewayError CONFIG_FILE_UNREADABLE, CONFIG_SYNTAX, CONFIG_KEY_UNKNOWN or
 * CONFIG_VALUE_INVALID: the first fault; `configErrors` lists all of the layer it stands in.
 */
export function loadConfig(input: ConfigInput): LoadedConfig {
  const currentBytes = readConfigFile(configPaths(input.dataDir).current);
  return { ...loadWith(input, currentBytes), dataDir: input.dataDir, currentBytes };
}

/** As `loadConfig`, with `currentBytes` in place of what `current.yaml` holds; null for no such file. */
export function loadWith(
  input: ConfigInput,
  currentBytes: Buffer | null,
): Omit<LoadedConfig, "dataDir" | "currentBytes"> {
  const vendor = readVendorFile(input.env);
  const operator = readOperatorFile(input.configFile);
  const { variables, errors } = environmentLayer(input.env);
  const options = input.options ?? new Map<string, string>();
  throwFirst([...errors, ...optionErrors(options)]);
  const current = parseCurrent(currentBytes, configPaths(input.dataDir).current);
  const layers = {
    vendor,
    operator: operator.values,
    current,
    variables,
    options,
  };
  return {
    config: mergeLayers(layers),
    operatorFile: operator.path,
    operatorHash: operator.hash,
    layers,
  };
}

/** The values of a `current.yaml`. @throws GatewayError as `loadConfig` */
export function parseCurrent(bytes: Buffer | null, path: string): Values {
  if (bytes === null) return {};
  const values = withoutEmpty(parseYaml(bytes, path));
  throwFirst(faultErrors(layerFaults(values, true), path));
  return values;
}

/** Everything wrong with an operator's file by itself, environment and data directory aside. */
export function checkFile(path: string): readonly GatewayError[] {
  try {
    return checkValues(parseYaml(readRequired(path), path), path);
  } catch (err) {
    if (err instanceof GatewayError) return configErrors(err);
    throw err;
  }
}

/** Everything wrong with a tree of keys as an operator's file, which errors call `path`. */
export function checkValues(given: Values, path: string): readonly GatewayError[] {
  const values = withoutEmpty(given);
  const errors = faultErrors(layerFaults(values), path);
  if (errors.length > 0) return errors;
  try {
    mergeLayers({ ...NO_LAYERS, operator: values });
    return [];
  } catch (err) {
    if (err instanceof GatewayError) return configErrors(err);
    throw err;
  }
}

/** The operator's file; without one `path` and `hash` are null. */
export interface OperatorFile {
  readonly path: string | null;
  readonly hash: string | null;
  readonly values: Values;
}

/** The operator's file, checked by itself. @throws GatewayError as `loadConfig` */
export function readOperatorFile(configFile: string | null): OperatorFile {
  const path = resolve(configFile ?? DEFAULT_CONFIG_FILE);
  const bytes = configFile === null ? readConfigFile(path) : readRequired(path);
  if (bytes === null) return { path: null, hash: null, values: {} };
  const values = withoutEmpty(parseYaml(bytes, path));
  throwFirst(faultErrors(layerFaults(values), path));
  return { path, hash: contentHash(bytes), values };
}

/** The bytes of a file that must be there. @throws GatewayError CONFIG_FILE_UNREADABLE */
export function readRequired(path: string): Buffer {
  const bytes = readConfigFile(path);
  if (bytes !== null) return bytes;
  throw new GatewayError("CONFIG_FILE_UNREADABLE", { path, reason: "there is no such file" });
}
