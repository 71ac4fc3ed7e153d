import { describe, expect, it } from "vitest";
import { bridgeConfig, forward, subscription } from "./bridge.testing.ts";
import { findLoop, findRing } from "./loop.ts";

interface Side {
  readonly local: string;
  readonly remote: string;
  readonly prefix?: string;
  readonly suffix?: string;
}

function rules(up: Side, down: Side): Parameters<typeof findLoop>[0] {
  const rule = ({ local, remote, prefix = "", suffix = "" }: Side) => ({
    name: null,
    enable: true,
    description: "",
    tags: [],
    local_topic: local,
    remote_topic: remote,
    prefix,
    suffix,
    retain: null,
  });
  return { forwards: [{ ...rule(up), qos: null }], subscription: [{ ...rule(down), qos: 1 }] };
}

describe("loop check", () => {
  it.each<[Side, Side]>([
    [
      { local: "a/#", remote: "" },
      { remote: "a/b", local: "" },
    ],
    [
      { local: "#", remote: "" },
      { remote: "#", local: "" },
    ],
    [
      { local: "a/+", remote: "up" },
      { remote: "up", local: "a/1" },
    ],
    [
      { local: "#", remote: "", prefix: "site/" },
      { remote: "site/+/x", local: "+/x" },
    ],
    [
      { local: "t/+", remote: "", suffix: "-up" },
      { remote: "t/dev-up", local: "t/back" },
    ],
    [
      { local: "t/+", remote: "", suffix: "-up" },
      { remote: "t/+", local: "", suffix: "-dn" },
    ],
    [
      { local: "#", remote: "", suffix: "/up" },
      { remote: "#", local: "", suffix: "/down" },
    ],
    [
      { local: "cmd/#", remote: "" },
      { remote: "$share/g/cmd/#", local: "" },
    ],
  ])("names the pair that feeds itself: %o with %o", (up, down) => {
    expect(findLoop(rules(up, down))).toEqual({ forward: up.local, subscription: down.remote });
  });

  it.each<[Side, Side]>([
    [
      { local: "tele/#", remote: "" },
      { remote: "cmd/#", local: "" },
    ],
    [
      { local: "#", remote: "", prefix: "site/" },
      { remote: "cmd/site/#", local: "" },
    ],
    [
      { local: "#", remote: "", prefix: "up" },
      { remote: "down/#", local: "" },
    ],
    [
      { local: "t/+", remote: "", suffix: "-up" },
      { remote: "t/dev-down", local: "" },
    ],
    [
      { local: "tele/#", remote: "" },
      { remote: "tele/#", local: "", prefix: "cloud/" },
    ],
    [
      { local: "#", remote: "" },
      { remote: "$SYS/#", local: "", prefix: "cloud/" },
    ],
    [
      { local: "+/a", remote: "" },
      { remote: "x/a/b", local: "" },
    ],
  ])("leaves a pair alone that cannot feed itself: %o with %o", (up, down) => {
    expect(findLoop(rules(up, down))).toBeNull();
  });

  it("looks at every pair of rules", () => {
    const quiet = rules({ local: "tele/#", remote: "" }, { remote: "cmd/#", local: "" });
    const loud = rules({ local: "both/1", remote: "" }, { remote: "both/+", local: "" });
    const all = {
      forwards: [...quiet.forwards, ...loud.forwards],
      subscription: [...quiet.subscription, ...loud.subscription],
    };
    expect(findLoop(all)).toEqual({ forward: "both/1", subscription: "both/+" });
  });
});

describe("ring check over several bridges", () => {
  const at = (server: string, up: string[], down: string[], more = {}) =>
    bridgeConfig({
      server,
      forwards: up.map((it) => forward(it)),
      subscription: down.map((it) => subscription(it)),
      ...more,
    });
  const CLOUD = "mqtt://cloud:1883";

  it("names two bridges to one broker of which one sends up what the other brings down", () => {
    const bridges = { a: at(CLOUD, ["x/#"], []), b: at("mqtts://Cloud:1883", [], ["x/+"]) };
    expect(findRing(bridges)).toEqual({ path: ["a", "a"], forward: "x/#" });
  });

  it("names three bridges in a ring over two brokers", () => {
    const other = "mqtt://other:1883";
    const bridges = {
      a: at(CLOUD, ["x/#"], []),
      b: at(CLOUD, [], [], { subscription: [subscription("x/1", "y/1")] }),
      c: at(other, ["y/1"], []),
      d: at(other, [], [], { subscription: [subscription("y/1", "x/1")] }),
    };
    expect(findRing(bridges)?.path).toEqual(["a", "c", "a"]);
  });

  it.each([
    ["they talk to different brokers", { server: "mqtt://other:1883" }],
    ["one is disabled", { enable: false }],
    ["the topics do not meet", { subscription: [subscription("y/#")] }],
    ["the rule is disabled", { subscription: [subscription("x/#", "", { enable: false })] }],
    [
      "what comes down gets another name",
      { subscription: [subscription("x/#", "", { prefix: "d/" })] },
    ],
  ])("finds nothing when %s", (_, more) => {
    expect(findRing({ a: at(CLOUD, ["x/#"], []), b: at(CLOUD, [], ["x/#"], more) })).toBeNull();
  });

  it("looks at thousands of rules in a moment", () => {
    const many = Array.from({ length: 1000 }, (_, n) => `a/${n}/+`);
    const bridges = {
      a: at(CLOUD, many, []),
      b: at(
        CLOUD,
        [],
        many.map((it) => `b/${it}`),
      ),
    };
    const startedMs = performance.now();
    expect(findRing(bridges)).toBeNull();
    expect(performance.now() - startedMs).toBeLessThan(500);
  });
});
