import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isGatewayError } from "../errors/index.ts";
import { matches, parseShare, topic, topicFilter } from "./topic.ts";

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (err) {
    if (isGatewayError(err)) return err.code;
    throw err;
  }
  return "accepted";
};

describe("topic", () => {
  it.each(["a", "/", "a//b", " ", "$SYS/x", "__proto__", "é".repeat(32_767)])(
    "accepts %j",
    (raw) => {
      expect(topic(raw)).toBe(raw);
    },
  );

  it.each(["", "a/+", "#", "a\0b", "\ud800", "é".repeat(32_768)])(
    "refuses %j [MQTT-3.3.2-2] [MQTT-4.7.3-1] [MQTT-4.7.3-2]",
    (raw) => {
      expect(codeOf(() => topic(raw))).toBe("MQTT_TOPIC_INVALID");
    },
  );

  it("names the topic and the reason", () => {
    expect(() => topic("a/#")).toThrow("topic a/# is not valid: it holds a wildcard (+ or #)");
  });
});

describe("topicFilter", () => {
  it.each(["#", "+", "a/+/b", "a/#", "/#", "+/+", "$share/g/a/#", "$share/g//"])(
    "accepts %j",
    (raw) => {
      expect(topicFilter(raw)).toBe(raw);
    },
  );

  it.each([
    "",
    "a#",
    "a/#/b",
    "a+",
    "a/b+/c",
    "##",
    "$share/g",
    "$share//a",
    "$share/g/",
    "$share/g+/a",
    "$share/#/a",
  ])("refuses %j [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.8.2-1] [MQTT-4.8.2-2]", (raw) => {
    expect(codeOf(() => topicFilter(raw))).toBe("MQTT_FILTER_INVALID");
  });

  it("takes a shared subscription apart at the second slash [MQTT-4.8.2-1]", () => {
    expect(parseShare(topicFilter("$share/g/a/+"))).toEqual({ group: "g", filter: "a/+" });
    expect(parseShare(topicFilter("a/b"))).toBeNull();
  });
});

/** The specification's rules written level by level, as slow and plain as possible. */
function matchesByLevels(filter: string[], name: string[], first = true): boolean {
  const [f, ...filterRest] = filter;
  const [t, ...nameRest] = name;
  if (first && t?.startsWith("$") && (f === "+" || f === "#")) return false;
  if (f === "#") return true;
  if (f === undefined || t === undefined) return f === t;
  if (f !== "+" && f !== t) return false;
  if (nameRest.length === 0 && filterRest.length === 1 && filterRest[0] === "#") return true;
  if (filterRest.length === 0 || nameRest.length === 0)
    return filterRest.length === nameRest.length;
  return matchesByLevels(filterRest, nameRest, false);
}

describe("matches", () => {
  it.each([
    ["sport/tennis/player1/#", "sport/tennis/player1", true],
    ["sport/tennis/player1/#", "sport/tennis/player1/ranking/x", true],
    ["sport/#", "sport", true],
    ["#", "a/b", true],
    ["#", "/", true],
    ["sport/tennis/+", "sport/tennis/player1", true],
    ["sport/tennis/+", "sport/tennis/player1/ranking", false],
    ["sport/+", "sport", false],
    ["sport/+", "sport/", true],
    ["+/+", "/finance", true],
    ["/+", "/finance", true],
    ["+", "/finance", false],
    ["#", "$SYS/x", false],
    ["+/monitor/Clients", "$SYS/monitor/Clients", false],
    ["$SYS/#", "$SYS/x", true],
    ["$SYS/monitor/+", "$SYS/monitor/Clients", true],
    ["ab", "a", false],
    ["a", "ab", false],
  ])("%s against %s is %s (MQTT 5.0 §4.7.1, §4.7.2)", (filter, name, expected) => {
    expect(matches(filter, name)).toBe(expected);
  });

  it("agrees with the rules applied level by level", () => {
    const level = fc.constantFrom("", "a", "b", "ab", "$x");
    const filterLevel = fc.oneof(level, fc.constant("+"));
    fc.assert(
      fc.property(
        fc.array(filterLevel, { minLength: 1, maxLength: 5 }),
        fc.boolean(),
        fc.array(level, { minLength: 1, maxLength: 5 }),
        (levels, hash, name) => {
          const filter = hash ? [...levels, "#"] : levels;
          expect(matches(filter.join("/"), name.join("/"))).toBe(matchesByLevels(filter, name));
        },
      ),
      { numRuns: 5000 },
    );
  });
});
