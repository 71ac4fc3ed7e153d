import { expect, test } from "vitest";
import { linearRegex } from "./index.ts";

test("a pattern is found anywhere unless it is bound", () => {
  expect(linearRegex("b+").test("abbc")).toBe(true);
  expect(linearRegex("^b+$").test("abbc")).toBe(false);
  expect(linearRegex("^x/y/(.+)/(.+)?$").groups("x/y/1/")).toEqual(["x/y/1/", "1", ""]);
  expect(linearRegex("^z").groups("x")).toBeNull();
});

test.each([
  ["("],
  ["(?=a)b"],
  ["(a)\\1"],
  ["(a{1000}){1000}"],
  ["(a{100}){10}b"],
  ["a".repeat(1025)],
])("%s is refused: it is wrong, or not linear, or too large", (source) => {
  expect(() => linearRegex(source)).toThrowError(
    expect.objectContaining({ code: "REGEX_INVALID" }),
  );
});

test("a pattern that backtracking engines take years for is done at once", () => {
  const evil = linearRegex("^(a|aa)+(a*)*$");
  const startedMs = performance.now();
  expect(evil.test(`${"a".repeat(1000)}b`)).toBe(false);
  expect(performance.now() - startedMs).toBeLessThan(1000);
});
