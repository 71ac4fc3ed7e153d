export type {
  Delayed,
  DelayedConfig,
  DelayedDeps,
  DelayedMessage,
  DelayedTable,
} from "./delayed.ts";
export { createDelayed } from "./delayed.ts";
