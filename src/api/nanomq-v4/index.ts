export { nanomqV4 } from "./plugin.ts";
