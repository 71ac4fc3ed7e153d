import { HoconError, type HoconObject, parseHocon as parse } from "../../hocon/index.ts";
import { ApiError } from "./kit/index.ts";

/**
 * Reads HOCON without `include`: a tool that sends a configuration has resolved them.
 * @throws ApiError 400 UPDATE_FAILED naming the line
 */
export function parseHocon(text: string): HoconObject {
  try {
    return parse(text);
  } catch (err) {
    if (err instanceof HoconError) throw new ApiError(400, "UPDATE_FAILED", err.message);
    throw err;
  }
}

/** Text that `parseHocon` and every HOCON reader reads as `values`. */
export function printHocon(values: Readonly<Record<string, unknown>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} = ${JSON.stringify(value, null, 2)}\n`)
    .join("");
}
