import { describe, expect, it } from "vitest";
import type { QoS } from "../mqtt/index.ts";
import { planSubscriptions } from "./subscription-plan.ts";

function rules(...filters: (string | [string, QoS])[]) {
  return filters.map((it) => {
    const [remote_topic, qos] = typeof it === "string" ? [it, 1 as const] : it;
    return { remote_topic, qos };
  });
}

function filtersOf(plan: ReturnType<typeof planSubscriptions>): string[] {
  return plan.filters.map(({ filter }) => filter);
}

describe("what to subscribe to", () => {
  it.each([
    [["a/b", "a/+", "a/#"], ["a/#"]],
    [["a", "a/#"], ["a/#"]],
    [["+/b", "a/b", "b/b"], ["+/b"]],
    [
      ["#", "a", "$SYS/x"],
      ["#", "$SYS/x"],
    ],
    [
      ["+/x", "$SYS/x"],
      ["+/x", "$SYS/x"],
    ],
    [
      ["a/+/c", "a/b/+"],
      ["a/+/c", "a/b/+"],
    ],
    [
      ["a/+", "a/#", "b"],
      ["a/#", "b"],
    ],
    [
      ["a", "a", "b"],
      ["a", "b"],
    ],
    [
      ["$share/g/a/b", "a/#"],
      ["$share/g/a/b", "a/#"],
    ],
  ])("%o needs %o", (given, wanted) => {
    expect(filtersOf(planSubscriptions(rules(...given)))).toEqual(wanted);
  });

  it("a wider filter asks for the highest QoS of those it covers", () => {
    const plan = planSubscriptions(rules(["a/b", 2], ["a/#", 0], ["b", 0], ["b", 1]));
    expect(plan.filters).toMatchObject([
      { filter: "a/#", qos: 2 },
      { filter: "b", qos: 1 },
    ]);
    expect(plan.covered).toEqual(["a/b"]);
  });

  it("what a refused filter covered is asked for by itself", () => {
    const plan = planSubscriptions(rules("#", "a/#", "a/b"), new Set(["#"]));
    expect(filtersOf(plan)).toEqual(["a/#"]);
  });

  it("filters that cross are marked", () => {
    const plan = planSubscriptions(rules("a/+/c", "a/b/+", "x", "$share/g/y", "$share/g/a/b/c"));
    expect(plan.filters).toMatchObject([
      { isOverlapping: true },
      { isOverlapping: true },
      { isOverlapping: false, isShared: false },
      { isOverlapping: false, isShared: true },
      { isOverlapping: true, isShared: true },
    ]);
  });

  it("a thousand crossing filters are planned in well under a second", () => {
    const many = Array.from({ length: 1000 }, (_, i) => `a/+/b/${i}/+`);
    const startedMs = performance.now();
    expect(planSubscriptions(rules(...many)).filters).toHaveLength(1000);
    expect(performance.now() - startedMs).toBeLessThan(1000);
  });
});
