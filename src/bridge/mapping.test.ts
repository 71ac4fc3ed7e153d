import { describe, expect, it } from "vitest";
import { createMapping, type TopicRule, targetFault } from "./mapping.ts";

function rule(pattern: string, target: string, prefix = "", suffix = ""): TopicRule {
  return { pattern, target, prefix, suffix };
}

describe("topic rule", () => {
  it.each([
    [rule("dev/+/#", "+/#"), "dev/d1/s/x", "d1/s/x"],
    [rule("+/nanomq/#", "#"), "system/nanomq/start", "start"],
    [rule("id/zb/+/abv/#", "+/abv/#"), "id/zb/abc/abv/q/r", "abc/abv/q/r"],
    [rule("id/zb/+/abv/+/#", "+"), "id/zb/abc/abv/q/r", "abc"],
    [rule("id/zb/+/abv/#", "zb/+"), "id/zb/abc/abv/q", "zb/abc"],
    [rule("keep/#", "", "px/", "/sx"), "keep/a/b", "px/keep/a/b/sx"],
  ])("maps %o: %s becomes %s", (given, name, result) => {
    expect(targetFault(given)).toBeNull();
    expect(createMapping(given)(name)).toBe(result);
  });

  it("a target without wildcards replaces every topic the pattern matches", () => {
    const map = createMapping(rule("a/#", "all/in/one"));
    expect([map("a/1"), map("a/2/3")]).toEqual(["all/in/one", "all/in/one"]);
  });

  it("prefix and suffix are joined without a slash", () => {
    expect(createMapping(rule("cmd/#", "start", "cmd", "remote"))("cmd/x")).toBe("cmdstartremote");
  });

  it("a wildcard target prefers the place where it stands level by level", () => {
    expect(createMapping(rule("xa/+/a/+", "a/+"))("xa/1/a/2")).toBe("a/2");
  });

  it("a target that is a piece of the pattern only as text keeps the whole levels before it", () => {
    expect(createMapping(rule("id/zb/+/c", "b/+"))("id/zb/x/c")).toBe("zb/x");
  });

  it("a shared subscription maps by its own filter [MQTT 5.0 §4.8.2]", () => {
    expect(createMapping(rule("$share/g/cmd/+/#", "+/#"))("cmd/d1/on")).toBe("d1/on");
  });

  it.each([rule("a/+/b", "c/+"), rule("a/+", "#"), rule("a/#", "+/#")])(
    "a wildcard target that is no piece of its pattern is a fault: %o",
    (given) => {
      expect(targetFault(given)).toContain("a piece of");
      expect(createMapping(given)("a/x/b")).toBe("a/x/b");
    },
  );

  it("a result that is no topic is null: empty, or over 65 535 bytes", () => {
    expect(createMapping(rule("+/nanomq/#", "#"))("system/nanomq")).toBeNull();
    expect(createMapping(rule("#", "", "é".repeat(32_767)))("ab")).toBeNull();
  });

  it("empty levels are levels [MQTT-4.7.3]", () => {
    expect(createMapping(rule("a/+/#", "+/#"))("a//b/")).toBe("/b/");
  });
});
