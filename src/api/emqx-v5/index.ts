export { sendNotFound } from "./kit/index.ts";
export type { Login } from "./login.ts";
export { emqxV5, isEmqxPath } from "./plugin.ts";
export { emqxRoutes } from "./routes.ts";
export { statusOf, statusText } from "./status-text.ts";
