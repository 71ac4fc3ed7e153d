export type { PartChecks } from "./bridge-check.ts";
export { checkBridgeRules } from "./bridge-check.ts";
export { checkConfig } from "./checks.ts";
export type { ConfigPatch, ConfigStatus, ConfigStore, PemKind } from "./config-store.ts";
export type {
  ConfigDraft,
  Configuration,
  ConfigurationDeps,
  PemTexts,
} from "./configuration.ts";
export { createConfiguration } from "./configuration.ts";
export { createReadPem } from "./pem-files.ts";
