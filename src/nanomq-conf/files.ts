import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { GatewayError, reasonOf } from "../errors/index.ts";
import { HoconError, type HoconInclude, type HoconObject, parseHocon } from "../hocon/index.ts";
import type { ConfFile } from "./source.ts";

/** NanoMQ's own are a few kB; more is another file. */
const MAX_BYTES = 1024 * 1024;
/** Files that include files that include files. */
const MAX_INCLUDES = 16;

/** @throws GatewayError CONFIG_FILE_UNREADABLE */
export function readConfFiles(names: readonly string[]): ConfFile[] {
  return names.map((name) => ({ name, text: textOf(name) }));
}

/**
 * Reads included files: as they are named, else of the same name beside the first file, since they
 * were written for another machine's /etc.
 */
export function includeFrom(names: readonly string[]): HoconInclude {
  const folder = path.dirname(names[0] ?? ".");
  const open: string[] = [];
  const include = (name: string): HoconObject => {
    const beside = path.join(folder, path.basename(name));
    const file = isFile(name) ? name : beside;
    if (open.includes(file) || open.length >= MAX_INCLUDES) {
      throw new HoconError(`${name} includes itself, or too many others`);
    }
    open.push(file);
    try {
      return parseHocon(textOf(file), include);
    } catch (err) {
      throw err instanceof HoconError ? new HoconError(`${file}: ${err.message}`) : err;
    } finally {
      open.pop();
    }
  };
  return include;
}

function isFile(name: string): boolean {
  return statSync(name, { throwIfNoEntry: false })?.isFile() === true;
}

function textOf(name: string): string {
  const fail = (reason: string) =>
    new GatewayError("CONFIG_FILE_UNREADABLE", { path: name, reason });
  try {
    const stats = statSync(name);
    if (!stats.isFile()) throw fail("it is not a file");
    if (stats.size > MAX_BYTES) throw fail(`it is larger than ${MAX_BYTES} bytes`);
    return new TextDecoder().decode(readFileSync(name));
  } catch (err) {
    throw err instanceof GatewayError ? err : fail(reasonOf(err));
  }
}
