import { basename } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { GatewayError, isGatewayError } from "../errors/index.ts";
import { faultErrors, throwFirst } from "./config-errors.ts";
import { configPaths, readConfigFile } from "./config-files.ts";
import { type DurableFiles, diskFiles } from "./durable-files.ts";
import { environmentLayer } from "./environment.ts";
import { isObject, type Values } from "./format.ts";
import { KEYS } from "./keys.ts";
import { type Layers, layerFaults, mergeLayers, NO_LAYERS, withoutEmpty } from "./layers.ts";
import {
  type ConfigInput,
  loadWith,
  parseCurrent,
  readOperatorFile,
  readRequired,
} from "./load.ts";
import { expectProvisioned, inputInForce } from "./provisioned.ts";
import type { Config } from "./schema.ts";
import { hashed, type SecretHashing } from "./secrets.ts";
import { valueAt, withValues } from "./tree.ts";
import { readVendorFile } from "./vendor.ts";
import { replaceTexts } from "./yaml-edit.ts";
import { parseYaml } from "./yaml-text.ts";

/** Hashing one takes a tenth of a second of a Raspberry Pi 3, and the device waits for it to start. */
const MAX_CLEAR_PASSWORDS = 200;

/** What is known about a configuration only outside of `config`. */
export interface ProvisioningDeps extends SecretHashing {
  /** Cross-checks that need more than the configuration; throws what is wrong. */
  check(next: Config, previous: Config): Promise<void>;
  readonly files?: DurableFiles;
}

/** What is to be installed in place of the operator's file. */
export interface Provisioning {
  /** YAML, UTF-8 without byte order mark, LF; passwords hashed, comments kept where possible. */
  readonly text: string;
  /** What whoever gave the file should know although it is accepted. */
  readonly notes: readonly string[];
}

/**
 * Checks `file`, which comes from outside, as the next operator's file: by itself, against the other
 * layers, and with `deps.check`; and that `provisioning.serial` is not lower than in the file in
 * force. Installs nothing. When the API has changed anything, a record in the data directory says
 * that this very file's keys win over that once it is installed (`adoptProvisioned`).
 * @throws GatewayError CONFIG_FILE_UNREADABLE, CONFIG_SYNTAX, CONFIG_KEY_UNKNOWN,
 * CONFIG_VALUE_INVALID (`configErrors` lists all), CONFIG_OLDER, CONFIG_CHECK_FAILED, and whatever
 * `deps.check` throws: the file is refused. CONFIG_WRITE_FAILED: it is not the file's fault.
 */
export async function prepareProvisioning(
  file: string,
  input: ConfigInput,
  deps: ProvisioningDeps,
): Promise<Provisioning> {
  const present = inputInForce(input);
  const name = basename(file);
  const bytes = readRequired(file);
  const raw = parseYaml(bytes, name);
  const values = withoutEmpty(raw);
  throwFirst(faultErrors(layerFaults(values), name));
  const inForce = valuesInForce(present);
  refuseOlder(values, inForce);

  const passwords = await hashedPasswords(values, inForce, deps);
  const text = replaceTexts(bytes, raw, withValues(raw, passwords));
  const { next, notes } = merged(withValues(values, passwords), input);
  await deps.check(next, configInForce(present));

  await expectProvisioned(input, text, deps.files ?? diskFiles);
  return { text, notes };
}

function refuseOlder(values: Values, inForce: Values): void {
  const serial = valueAt(values, "provisioning.serial");
  const inForceSerial = valueAt(inForce, "provisioning.serial");
  if (typeof serial !== "number" || typeof inForceSerial !== "number") return;
  if (serial >= inForceSerial) return;
  throw new GatewayError("CONFIG_OLDER", { value: serial, inForce: inForceSerial });
}

/** The values of the keys that hold passwords, with hashes in their place. */
async function hashedPasswords(
  values: Values,
  inForce: Values,
  hashing: SecretHashing,
): Promise<ReadonlyMap<string, unknown>> {
  let clear = 0;
  const counting: SecretHashing = {
    isHashed: hashing.isHashed,
    hashSecret: async (text) => {
      clear += 1;
      return text;
    },
    verifySecret: async () => false,
  };
  const found = KEYS.flatMap(({ key, row }) => {
    const value = valueAt(values, key);
    return value === undefined ? [] : [{ key, row, value }];
  });
  for (const { row, value } of found) await hashed(row, value, undefined, counting);
  if (clear > MAX_CLEAR_PASSWORDS) {
    throw new GatewayError("CONFIG_CHECK_FAILED", {
      key: "auth.users",
      value: `${clear} passwords in clear`,
      reason: `at most ${MAX_CLEAR_PASSWORDS} are hashed; give hashes (tidegate hash-password)`,
    });
  }
  const changes = new Map<string, unknown>();
  for (const { key, row, value } of found) {
    const is = await hashed(row, value, valueAt(inForce, key), hashing);
    if (!isDeepStrictEqual(is, value)) changes.set(key, is);
  }
  return changes;
}

/** What the gateway will run, once the file's keys have won over what the API changed. */
function merged(operator: Values, input: ConfigInput): { next: Config; notes: readonly string[] } {
  const layers: Layers = {
    ...NO_LAYERS,
    vendor: vendorOf(input),
    operator,
    variables: environmentLayer(input.env).variables,
  };
  const alone = mergeLayers(layers);
  const { current: path } = configPaths(input.dataDir);
  const bytes = readOrNull(path);
  if (bytes === null) return { next: alone, notes: [] };
  try {
    const current = withoutNamed(parseCurrent(bytes, path), operator);
    return { next: mergeLayers({ ...layers, current }), notes: [] };
  } catch {
    const note =
      "What the API changed earlier does not fit this file; it is set aside, see the log.";
    return { next: alone, notes: [note] };
  }
}

/** What the API changed, without what `named` names. */
function withoutNamed(current: Values, named: Values): Values {
  const changes = new Map<string, unknown>();
  for (const { key, row } of KEYS) {
    const was = valueAt(current, key);
    const is = valueAt(named, key);
    if (was === undefined || is === undefined) continue;
    const isMap = row.format.shape.kind === "map" && isObject(was) && isObject(is);
    const rest = isMap ? Object.entries(was).filter(([name]) => !Object.hasOwn(is, name)) : [];
    changes.set(key, isMap ? Object.fromEntries(rest) : undefined);
  }
  return defined(withValues(current, changes));
}

function defined(values: Values): Values {
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]): [string, unknown][] => {
      if (value === undefined) return [];
      return [[name, isObject(value) ? defined(value) : value]];
    }),
  );
}

/** The operator's file in force; one that is damaged or missing says nothing. */
function valuesInForce({ configFile }: ConfigInput): Values {
  try {
    return readOperatorFile(configFile).values;
  } catch (err) {
    if (isGatewayError(err)) return {};
    throw err;
  }
}

function configInForce(input: ConfigInput): Config {
  try {
    return loadWith(input, readOrNull(configPaths(input.dataDir).current)).config;
  } catch (err) {
    if (isGatewayError(err)) return mergeLayers(NO_LAYERS);
    throw err;
  }
}

function vendorOf({ env }: ConfigInput): Values {
  try {
    return readVendorFile(env);
  } catch (err) {
    if (isGatewayError(err)) return {};
    throw err;
  }
}

function readOrNull(path: string): Buffer | null {
  try {
    return readConfigFile(path);
  } catch {
    return null;
  }
}
