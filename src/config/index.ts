export type { BridgeConfig } from "./bridge-schema.ts";
export { bridgeValueFaults, completeBridge } from "./bridge-schema.ts";
export type { Command } from "./command-line.ts";
export { parseCommandLine, USAGE } from "./command-line.ts";
export { configErrors } from "./config-errors.ts";
export { configPaths } from "./config-files.ts";
export type {
  ConfigCheck,
  ConfigStatus,
  ConfigStore,
  ConfigStoreDeps,
} from "./config-store.ts";
export { openConfigStore } from "./config-store.ts";
export type { CountedFiles } from "./counted-files.ts";
export { countedFiles } from "./counted-files.ts";
export { deviceId } from "./device-id.ts";
export { diskFiles } from "./durable-files.ts";
export type { Environment } from "./environment.ts";
export type { Fault, KeyRow, SchemaTree } from "./format.ts";
export { isKeyRow, MASK } from "./format.ts";
export type { Incident } from "./incidents.ts";
export type { ConfigInput, LoadedConfig } from "./load.ts";
export { checkFile, checkValues, loadConfig } from "./load.ts";
export { tagWidth } from "./modbus-schema.ts";
export type { ConfigPatch } from "./patch.ts";
export type { PemKind } from "./pem-files.ts";
export {
  adoptProvisioned,
  failProvisioned,
  settleProvisioned,
  startProvisioned,
} from "./provisioned.ts";
export type { Provisioning, ProvisioningDeps } from "./provisioning.ts";
export { prepareProvisioning } from "./provisioning.ts";
export type { Config, ModbusConfig, SerialPortConfig } from "./schema.ts";
export { SCHEMA } from "./schema.ts";
export type { SecretHashing } from "./secrets.ts";
export { maskedBridge } from "./secrets.ts";
export type { ServerUrl } from "./server-url.ts";
export { parseServerUrl } from "./server-url.ts";
export type { StartReport } from "./start.ts";
export { beginStart, failStart } from "./start.ts";
export { formatYaml } from "./yaml-text.ts";
