/** The values that a rule's `${clientid}` and `${username}` stand for. */
export interface PatternValues {
  readonly clientid: string;
  readonly username: string;
}

export type Placeholder = keyof PatternValues;

/** Text of a level, or a value to be put in. */
type Piece = string | { readonly value: Placeholder };

/** `+`, `#`, or the pieces that make up the level. */
type Level = "+" | "#" | readonly Piece[];

const PLACEHOLDER = /\$\{(clientid|username)\}/;

/**
 * A rule's topic filter, taken apart once so that matching allocates nothing. Values put in for
 * placeholders must not hold `+`, `#` or `/`: they never add levels or wildcards.
 */
export class FilterPattern {
  readonly #levels: readonly Level[];
  /** The filter up to its first wildcard or placeholder: most topics differ there already. */
  readonly #prefix: string;
  /** The levels as text, null where placeholders make them differ by client. */
  readonly #fixedLevels: readonly string[] | null;
  /** Whether the filter is nothing but its prefix. */
  readonly #isPlain: boolean;
  readonly placeholders: ReadonlySet<Placeholder>;
  /** The placeholder that the filter starts with, null for none. */
  readonly leading: Placeholder | null;

  constructor(filter: string) {
    const levels = filter.split("/");
    this.#levels = levels.map(levelOf);
    this.placeholders = new Set(this.#levels.flatMap(valuesIn));
    this.#fixedLevels = this.placeholders.size === 0 ? levels : null;
    const firstPiece = this.#levels[0]?.[0];
    this.leading = typeof firstPiece === "object" ? firstPiece.value : null;
    const variable = filter.search(/[+#]|\$\{(clientid|username)\}/);
    this.#isPlain = variable < 0;
    const prefix = this.#isPlain ? filter : filter.slice(0, variable);
    // "a/#" matches "a" as well (MQTT 5.0 §4.7.1.2), so the slash before # is no certain prefix.
    this.#prefix = filter[variable] === "#" && prefix !== "" ? prefix.slice(0, -1) : prefix;
  }

  /** Whether the filter matches `topic` (MQTT 5.0 §4.7). */
  matches(topic: string, values: PatternValues): boolean {
    if (this.#isPlain) return topic === this.#prefix;
    if (!topic.startsWith(this.#prefix)) return false;
    const first = this.#levels[0];
    // [MQTT-4.7.2-1]
    if ((first === "+" || first === "#") && topic.startsWith("$")) return false;
    let position = 0;
    for (const level of this.#levels) {
      if (level === "#") return true;
      if (position > topic.length) return false;
      const end =
        level === "+" ? endOfLevel(topic, position) : endOfText(level, topic, position, values);
      if (end < 0) return false;
      position = end + 1;
    }
    return position > topic.length;
  }

  /** The filter's levels with the values put in. */
  levels(values: PatternValues): readonly string[] {
    if (this.#fixedLevels !== null) return this.#fixedLevels;
    return this.#levels.map((level) =>
      typeof level === "string"
        ? level
        : level.map((piece) => (typeof piece === "string" ? piece : values[piece.value])).join(""),
    );
  }
}

/** Whether `outer` matches every topic that `inner` matches; both are filters split into levels. */
export function covers(outer: readonly string[], inner: readonly string[]): boolean {
  if (isWildcard(outer[0]) && inner[0]?.startsWith("$")) return false;
  for (let i = 0; ; i++) {
    const mine = outer[i];
    const theirs = inner[i];
    if (mine === "#") return true;
    if (mine === undefined || theirs === undefined) return mine === theirs;
    // "#" takes in the parent level, which no other filter does; only at the top there is none.
    if (theirs === "#") return i === 0 && mine === "+" && outer[1] === "#";
    if (mine !== "+" && mine !== theirs) return false;
  }
}

/** Whether some topic matches both filters, split into levels. */
export function overlapping(left: readonly string[], right: readonly string[]): boolean {
  if (isWildcard(left[0]) && right[0]?.startsWith("$")) return false;
  if (isWildcard(right[0]) && left[0]?.startsWith("$")) return false;
  for (let i = 0; ; i++) {
    const mine = left[i];
    const theirs = right[i];
    if (mine === "#" || theirs === "#") return true;
    if (mine === undefined || theirs === undefined) return mine === theirs;
    if (mine !== "+" && theirs !== "+" && mine !== theirs) return false;
  }
}

function isWildcard(level: string | undefined): boolean {
  return level === "+" || level === "#";
}

function levelOf(text: string): Level {
  if (text === "+" || text === "#") return text;
  // split() leaves the name of a placeholder at every odd place.
  return text
    .split(PLACEHOLDER)
    .map((part, index): Piece => {
      if (index % 2 === 0) return part;
      return { value: part === "clientid" ? "clientid" : "username" };
    })
    .filter((piece) => piece !== "");
}

function valuesIn(level: Level): readonly Placeholder[] {
  if (typeof level === "string") return [];
  return level.flatMap((piece) => (typeof piece === "string" ? [] : [piece.value]));
}

function endOfLevel(topic: string, from: number): number {
  const slash = topic.indexOf("/", from);
  return slash < 0 ? topic.length : slash;
}

/** Where the level that starts at `from` ends if it is made of `pieces`, -1 if it is not. */
function endOfText(
  pieces: readonly Piece[],
  topic: string,
  from: number,
  values: PatternValues,
): number {
  let position = from;
  for (const piece of pieces) {
    const text = typeof piece === "string" ? piece : values[piece.value];
    if (!topic.startsWith(text, position)) return -1;
    position += text.length;
  }
  return position === topic.length || topic[position] === "/" ? position : -1;
}
