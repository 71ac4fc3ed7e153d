export type { ListenerStatus, Listeners, ListenersConfig, ListenersDeps } from "./listeners.ts";
export { createListeners } from "./listeners.ts";
export type { RefusalReason } from "./refusals.ts";
export { loadTlsMaterial } from "./tls-material.ts";
