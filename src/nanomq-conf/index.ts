export { includeFrom, readConfFiles } from "./files.ts";
export type { Imported } from "./import.ts";
export { importNanomq } from "./import.ts";
export type { ConfFile } from "./source.ts";
