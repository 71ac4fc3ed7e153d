import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { matches } from "../mqtt/index.ts";
import { covers, FilterPattern, overlapping } from "./filter-pattern.ts";

const NOBODY = { clientid: "", username: "" };

/** Few different levels, so that filters and topics meet often. */
const name = fc.constantFrom("", "a", "b", "ab", "$S", "$");
const topic = fc
  .array(name, { minLength: 1, maxLength: 5 })
  .filter((levels) => levels.join("/") !== "");
const filter = fc
  .tuple(
    fc.array(fc.oneof(name, fc.constant("+")), { maxLength: 4 }),
    fc.constantFrom<readonly string[]>([], ["#"], ["+"]),
  )
  .map(([head, tail]) => [...head, ...tail])
  .filter((levels) => levels.join("/") !== "");

/** Topics that matter for a filter: its wildcards filled in and cut in every way. */
function samples(levels: readonly string[]): string[] {
  const choices = ["a", "zz", "$S"];
  let heads: string[][] = [[]];
  for (const level of levels) {
    if (level === "#") {
      heads = heads.flatMap((head) => [
        head,
        [...head, "zz"],
        [...head, "b", "zz"],
        [...head, "a"],
      ]);
    } else {
      heads = heads.flatMap((head) =>
        (level === "+" ? choices : [level]).map((text) => [...head, text]),
      );
    }
  }
  return heads.map((head) => head.join("/")).filter((text) => text !== "");
}

describe("filter patterns", () => {
  test("a pattern matches what the filter matches (MQTT 5.0 §4.7)", () => {
    fc.assert(
      fc.property(filter, topic, (f, t) => {
        const [text, subject] = [f.join("/"), t.join("/")];
        expect(new FilterPattern(text).matches(subject, NOBODY)).toBe(matches(text, subject));
      }),
      { numRuns: 5000 },
    );
  });

  test("a pattern with values matches what the filter with the values written out matches", () => {
    const value = fc.constantFrom("a", "b", "ab", "$S", "${username}", "${clientid}", "x.y");
    const part = fc.constantFrom(
      "a",
      "+",
      "${clientid}",
      "${username}",
      "a-${clientid}-${username}",
    );
    const tail = fc.constantFrom<readonly string[]>([], ["#"]);
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1, maxLength: 4 }),
        tail,
        value,
        value,
        fc.nat(),
        (head, end, clientid, username, pick) => {
          const text = [...head, ...end].join("/");
          const written = text
            .split(/(\$\{\w+\})/)
            .map((piece) =>
              piece === "${clientid}" ? clientid : piece === "${username}" ? username : piece,
            )
            .join("");
          const pattern = new FilterPattern(text);
          expect(pattern.levels({ clientid, username }).join("/")).toBe(written);
          const subjects = samples(written.split("/"));
          for (const subject of [
            ...subjects,
            "a/b",
            "a-a-b",
            `${subjects[pick % subjects.length]}/x`,
          ]) {
            expect(pattern.matches(subject, { clientid, username })).toBe(
              matches(written, subject),
            );
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("filters against filters", () => {
  test.each([
    ["a/#", "a/b/c", true],
    ["a/+", "+/b", true],
    ["a/+", "b/+", false],
    ["a/#", "a", true],
    ["a/b", "a", false],
    ["#", "$SYS/x", false],
    ["+/x", "$SYS/x", false],
    ["$SYS/#", "$SYS/+", true],
    ["#", "+/b", true],
  ])("%s and %s have a topic in common: %s", (left, right, expected) => {
    expect(overlapping(left.split("/"), right.split("/"))).toBe(expected);
    expect(overlapping(right.split("/"), left.split("/"))).toBe(expected);
  });

  test("filters that match one topic overlap", () => {
    fc.assert(
      fc.property(filter, filter, topic, (left, right, t) => {
        const name = t.join("/");
        if (!matches(left.join("/"), name) || !matches(right.join("/"), name)) return;
        expect(overlapping(left, right)).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });

  test("what covers a filter matches all of its topics, and what does not misses one", () => {
    fc.assert(
      fc.property(filter, filter, (outer, inner) => {
        // The parent level of "/#" would be the empty topic, which does not exist ([MQTT-4.7.3-1]).
        fc.pre(inner.join("/") !== "/#");
        const topics = samples(inner).filter((text) => matches(inner.join("/"), text));
        const isAllMatched = topics.every((text) => matches(outer.join("/"), text));
        if (topics.length > 0) expect(covers(outer, inner)).toBe(isAllMatched);
      }),
      { numRuns: 5000 },
    );
  });

  test("two filters that match one topic overlap", () => {
    fc.assert(
      fc.property(filter, filter, (a, b) => {
        const isShared = [...samples(a), ...samples(b)].some(
          (text) => matches(a.join("/"), text) && matches(b.join("/"), text),
        );
        if (isShared) expect(overlapping(a, b)).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });
});
