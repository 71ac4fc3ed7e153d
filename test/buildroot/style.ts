/**
 * Rules of Buildroot's `utils/check-package` for the kinds of files there are here, after its
 * checkpackagelib (revisions 0cb55973 and 279cbbdb): no Buildroot tree is at hand to run it from.
 */

/** What is wrong in a file of this name and text, as `line N: …`. */
export function styleFindings(name: string, text: string): string[] {
  const found = wordingOf(text);
  if (name.endsWith(".mk")) found.push(...makefileFindings(name, text));
  if (name.startsWith("Config.in")) found.push(...configFindings(text));
  if (name.endsWith(".hash")) found.push(...hashFindings(text));
  return found;
}

type Line = readonly [number: number, text: string];

function linesOf(text: string): Line[] {
  return text.split("\n").map((line, index) => [index + 1, line]);
}

/** The rules every file keeps. */
function wordingOf(text: string): string[] {
  const found: string[] = [];
  if (!text.endsWith("\n")) found.push("last line: newline missing at the end of the file");
  if (text.endsWith("\n\n")) found.push("last line: empty line at the end of the file");
  const lines = linesOf(text.replace(/\n+$/, ""));
  let emptyBefore = false;
  for (const [number, line] of lines) {
    if (line === "" && emptyBefore) found.push(`line ${number}: consecutive empty lines`);
    emptyBefore = line === "";
    if (/\s$/.test(line)) found.push(`line ${number}: trailing white space`);
    if (/[^\t\x20-\x7e]/.test(line)) found.push(`line ${number}: a character that is not ASCII`);
  }
  return found;
}

function makefileFindings(name: string, text: string): string[] {
  const found: string[] = [];
  const header = ["#".repeat(80), "#", undefined, "#", "#".repeat(80), ""];
  const lines = linesOf(text.replace(/\n$/, ""));
  const isPackage = !text.startsWith("include ");
  const prefix = name.replace(/\.mk$/, "").replaceAll("-", "_").toUpperCase();
  let inDefine = false;
  let continued = false;
  for (const [number, line] of lines) {
    const wanted = number <= header.length ? header[number - 1] : undefined;
    if (isPackage && wanted !== undefined && line !== wanted) {
      found.push(`line ${number}: the header is ${JSON.stringify(wanted)} here`);
    }
    const variable = /^(?:define\s+)?([A-Z0-9]+_[A-Z0-9_]+)/.exec(line)?.[1];
    if (isPackage && variable !== undefined && !variable.startsWith(`${prefix}_`)) {
      found.push(`line ${number}: possible typo: ${variable} is no variable of ${prefix}`);
    }
    if (/^[^#].*[^$]\$\{\w+\}/.test(line)) found.push(`line ${number}: $() delimits variables`);
    if (/( {2}|\t ?)\\$/.test(line)) found.push(`line ${number}: one space before a backslash`);
    const isDefine = /^\s*(define|endef)(\s|$)/.test(line);
    if (isDefine) inDefine = /^\s*define/.test(line);
    const isFree = isDefine || line.trim() === "" || (inDefine && /^\s*#/.test(line));
    const expectsTab =
      (inDefine && !isDefine) || (continued && !/^(ifn?eq|ifn?def|else|endif)/.test(line));
    if (!isFree && line.startsWith("\t") !== expectsTab) {
      found.push(`line ${number}: ${expectsTab ? "expected" : "unexpected"} indent with tabs`);
    }
    continued = /^[^#].*\\$/.test(line);
  }
  return found;
}

const OUTER = ["choice", "comment", "config", "endchoice", "endif", "endmenu", "if", "menu"];
const INNER = new Map(
  Object.entries({ bool: 1, prompt: 1, string: 1, default: 2, depends: 3, select: 4, help: 5 }),
);

function configFindings(text: string): string[] {
  const found: string[] = [];
  let order = 0;
  let inHelp = false;
  let continued = false;
  for (const [number, line] of linesOf(text)) {
    const word = line.trim().split(/\s+/)[0] ?? "";
    if (word === "" || word.startsWith("#")) continue;
    const isHelpText = inHelp && line.startsWith("\t  ");
    if (continued) {
      if (!line.startsWith("\t")) found.push(`line ${number}: continue with a tab`);
    } else if (OUTER.includes(word) && !isHelpText) {
      inHelp = false;
      order = 0;
      if (line !== line.trimStart()) found.push(`line ${number}: not indented`);
    } else if (inHelp) {
      const isUrl = /^\s*(https?|git):\/\/\S*$/.test(line);
      if (!/^\t {2}\S.{0,61}$/.test(line) && !isUrl) {
        found.push(`line ${number}: help is a tab, 2 spaces and at most 62 characters`);
      }
    } else {
      const place = INNER.get(word);
      if (place !== undefined && !line.startsWith(`\t${word}`)) {
        found.push(`line ${number}: indented with one tab`);
      }
      if (place !== undefined && place < order) {
        found.push(`line ${number}: order is type, default, depends on, select, help`);
      }
      order = place ?? order;
      inHelp = word === "help";
      if (/^\tdefault n$/.test(line)) found.push(`line ${number}: default n is needless`);
    }
    continued = !inHelp && line.endsWith("\\");
  }
  return found;
}

function hashFindings(text: string): string[] {
  const found: string[] = [];
  for (const [number, line] of linesOf(text)) {
    if (line === "" || line.startsWith("#")) continue;
    if (!/^sha256 {2}[0-9a-f]{64} {2}\S+$/.test(line)) {
      found.push(`line ${number}: a hash is "sha256  <64 digits>  <file>", two spaces between`);
    }
  }
  return found;
}
