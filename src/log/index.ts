export type { Log, LogLevel } from "./log.ts";
export { createLog, LOG_LEVELS } from "./log.ts";
