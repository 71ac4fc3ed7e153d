import type { Version } from "./wire.ts";

/** A test's name with the statements it shows, by version. */
export interface RuleName {
  readonly sentence: string;
  readonly statements: ReadonlyMap<Version, readonly string[]>;
}

const GROUP = / ?\{(3\.1\.1|5\.0)((?: \[MQTT-\d+\.\d+\.\d+-\d+\])+)\}/g;
const ID = /MQTT-\d+\.\d+\.\d+-\d+/g;

/**
 * Reads a name as the test files write it: a sentence, then for each version the identifiers in
 * braces, as in `a silent client is cut off {3.1.1 [MQTT-3.1.2-24]} {5.0 [MQTT-3.1.2-22]}`.
 * @throws Error when it names no statement.
 */
export function parseRuleName(name: string): RuleName {
  const statements = new Map<Version, readonly string[]>();
  for (const [, version, ids] of name.matchAll(GROUP)) {
    if (version === "3.1.1" || version === "5.0") statements.set(version, ids?.match(ID) ?? []);
  }
  const sentence = name.replaceAll(GROUP, "");
  if (statements.size === 0 || /[{}]/.test(sentence)) {
    throw new Error(`a rule's name ends with its statements: ${name}`);
  }
  return { sentence, statements };
}

/** The name of the test for one version, as reports show it. */
export function testName(sentence: string, version: Version, ids: readonly string[]): string {
  return `MQTT ${version}: ${sentence} ${ids.map((id) => `[${id}]`).join(" ")}`;
}
