import { readFile } from "node:fs/promises";
import { reasonOf } from "../../errors/index.ts";
import { checkFailed } from "./check-failed.ts";

/** Reads the file named by configuration key `key`. @throws GatewayError CONFIG_CHECK_FAILED */
export type ReadPem = (key: string, path: string) => Promise<string>;

/** Larger files hold no keys or certificates. */
const MAX_PEM_BYTES = 1_048_576;

/** Reads from disk, except for `drafts`: texts that are not written yet, by the path they stand for. */
export function createReadPem(drafts: ReadonlyMap<string, string> = new Map()): ReadPem {
  return async (key, path) => {
    const draft = drafts.get(path);
    if (draft !== undefined) return draft;
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (err) {
      throw checkFailed(key, path, `it cannot be read: ${reasonOf(err)}`, err);
    }
    if (text.length > MAX_PEM_BYTES) throw checkFailed(key, path, "it is no PEM file: too large");
    return text;
  };
}
