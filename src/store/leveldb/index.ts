export type { Finding } from "./inspection.ts";
export { clearUnfinished, inspect } from "./inspection.ts";
export type { LevelBatch, LevelDriver, LevelHandle, LevelIterator } from "./level.ts";
export { isDiskFull, levelCode, levelDriver, levelReason, rowsOf } from "./level.ts";
export type { OpeningNeeds } from "./reclaim.ts";
export { openingNeeds, reclaim } from "./reclaim.ts";
export { salvage } from "./salvage.ts";
export {
  beginRecovery,
  copyAside,
  endRecovery,
  linkFolder,
  removeLeftRepairs,
  takeBackRecovery,
} from "./set-aside.ts";
export { syncFolder } from "./sync-folder.ts";
