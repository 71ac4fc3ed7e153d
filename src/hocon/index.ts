export type { HoconInclude, HoconObject } from "./hocon.ts";
export { HoconError, parseHocon } from "./hocon.ts";
