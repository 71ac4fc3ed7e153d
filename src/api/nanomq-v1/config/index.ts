export { memberNameOf, readChange, showConfig } from "./config-object.ts";
