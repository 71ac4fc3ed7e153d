export { sendNotFound } from "./kit/index.ts";
export { emqxV5, isEmqxPath } from "./plugin.ts";
export { emqxRoutes } from "./routes.ts";
export { statusOf, statusText } from "./status-text.ts";
