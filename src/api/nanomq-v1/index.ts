export { nanomqV1 } from "./plugin.ts";
