export type { Fault } from "./format.ts";
export type { BridgeConfig, Config } from "./schema.ts";
export { SCHEMA } from "./schema.ts";
export type { ServerUrl } from "./server-url.ts";
export { parseServerUrl } from "./server-url.ts";
