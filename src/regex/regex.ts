import { RE2JS } from "re2js";
import { GatewayError, reasonOf } from "../errors/index.ts";

/** Longest text a pattern looks at, in UTF-16 units: what lies behind it does not count. */
export const MAX_REGEX_INPUT = 1024;

const MAX_SOURCE = 1024;
/** Instructions of a compiled pattern; with them and the input the worst match takes some 10 ms. */
const MAX_PROGRAM = 1000;

/**
 * A regular expression of RE2's syntax, searched for anywhere in a text (`^` and `$` bind it). Its
 * time is linear in the text, whatever the pattern: neither look-around nor back references.
 */
export interface LinearRegex {
  readonly source: string;
  /** Whether the first {@link MAX_REGEX_INPUT} characters of `text` hold a match. */
  test(text: string): boolean;
  /** The match and its groups from 0, a group that took no part empty; null without a match. */
  groups(text: string): readonly string[] | null;
}

/** @throws GatewayError REGEX_INVALID for bad syntax and for patterns too large to be quick */
export function linearRegex(source: string): LinearRegex {
  if (source.length > MAX_SOURCE) {
    const reason = `it has ${source.length} characters, at most ${MAX_SOURCE} are taken`;
    throw new GatewayError("REGEX_INVALID", { value: source.slice(0, 100), reason });
  }
  const compiled = compile(source);
  if (compiled.programSize() > MAX_PROGRAM) {
    const reason = "its repetitions make it too large";
    throw new GatewayError("REGEX_INVALID", { value: source, reason });
  }
  return {
    source,
    test: (text) => compiled.matcher(text.slice(0, MAX_REGEX_INPUT)).find(),
    groups(text) {
      const matcher = compiled.matcher(text.slice(0, MAX_REGEX_INPUT));
      if (!matcher.find()) return null;
      return Array.from({ length: matcher.groupCount() + 1 }, (_, n) => matcher.group(n) ?? "");
    },
  };
}

function compile(source: string): RE2JS {
  try {
    return RE2JS.compile(source);
  } catch (err) {
    const reason = reasonOf(err).replace(/^error parsing regexp: /, "");
    throw new GatewayError("REGEX_INVALID", { value: source, reason }, { cause: err });
  }
}
