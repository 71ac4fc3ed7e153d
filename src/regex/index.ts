export type { LinearRegex } from "./regex.ts";
export { linearRegex, MAX_REGEX_INPUT } from "./regex.ts";
