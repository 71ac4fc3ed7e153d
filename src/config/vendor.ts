import { faultErrors, throwFirst } from "./config-errors.ts";
import { readConfigFile } from "./config-files.ts";
import { type Environment, VENDOR_VARIABLE } from "./environment.ts";
import type { Values } from "./format.ts";
import { layerFaults, withoutEmpty } from "./layers.ts";
import { parseYaml } from "./yaml-text.ts";

/** What an appliance has other than the gateway by itself; there is no such file on a workstation. */
const DEFAULT_VENDOR_FILE = "/usr/lib/tidegate/defaults.yaml";

/** The appliance's defaults. @throws GatewayError as `loadConfig` */
export function readVendorFile(env: Environment): Values {
  const path = env[VENDOR_VARIABLE] || DEFAULT_VENDOR_FILE;
  const bytes = readConfigFile(path);
  if (bytes === null) return {};
  const values = withoutEmpty(parseYaml(bytes, path));
  throwFirst(faultErrors(layerFaults(values), path));
  return values;
}
