export type { Appliance, UpdateCommand } from "./command.ts";
export { installUpdate } from "./command.ts";
export type { SlotView, TrialView, UpdateResult, UsbStick } from "./update-files.ts";
export type { Updates, UpdatesDeps, UpdateView, UpdateWish } from "./updates.ts";
export { createUpdates } from "./updates.ts";
