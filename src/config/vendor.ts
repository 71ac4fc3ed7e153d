import { createPrivateKey, X509Certificate } from "node:crypto";
import { reasonOf } from "../errors/index.ts";
import { faultErrors, throwFirst } from "./config-errors.ts";
import { readConfigFile } from "./config-files.ts";
import { type Environment, VENDOR_VARIABLE } from "./environment.ts";
import { isObject, type Values } from "./format.ts";
import { layerFaults, withoutEmpty } from "./layers.ts";
import { valueAt, withValues } from "./tree.ts";
import { parseYaml } from "./yaml-text.ts";

/** What an appliance has other than the gateway by itself; there is no such file on a workstation. */
export const DEFAULT_VENDOR_FILE = "/usr/lib/tidegate/defaults.yaml";

/** The appliance's defaults, as far as they count. */
export interface VendorFile {
  readonly values: Values;
  /** Why some of them do not count; null when all do. */
  readonly problem: string | null;
}

/**
 * Reads the appliance's defaults. What needs the device's own certificate counts only while key and
 * certificate are there and fit: a device on which they could not be made starts without TLS rather
 * than not at all.
 * @throws GatewayError as `loadConfig`
 */
export function readVendorFile(env: Environment): VendorFile {
  const path = env[VENDOR_VARIABLE] || DEFAULT_VENDOR_FILE;
  const bytes = readConfigFile(path);
  if (bytes === null) return { values: {}, problem: null };
  const values = withoutEmpty(parseYaml(bytes, path));
  throwFirst(faultErrors(layerFaults(values), path));
  const problem = certificateProblem(values);
  return { values: problem === null ? values : withoutTls(values), problem };
}

function certificateProblem(values: Values): string | null {
  const keyFile = valueAt(values, "tls.key_file");
  const certFile = valueAt(values, "tls.cert_file");
  if (typeof keyFile !== "string" || typeof certFile !== "string") return null;
  try {
    const certificate = new X509Certificate(pemOf(certFile));
    const isPair = certificate.checkPrivateKey(createPrivateKey(pemOf(keyFile)));
    return isPair ? null : `${keyFile} is not the key of ${certFile}`;
  } catch (err) {
    return `${certFile} cannot be used: ${reasonOf(err)}`;
  }
}

function pemOf(path: string): Buffer {
  const bytes = readConfigFile(path);
  if (bytes === null) throw new Error(`there is no file ${path}`);
  return bytes;
}

function withoutTls(values: Values): Values {
  const { tls: _, ...others } = values;
  const { listeners } = values;
  if (!isObject(listeners)) return others;
  const off = ["tls", "wss"].filter((name) => Object.hasOwn(listeners, name));
  return withValues(others, new Map(off.map((name) => [`listeners.${name}.enable`, false])));
}
