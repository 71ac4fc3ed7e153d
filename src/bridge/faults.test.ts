import { describe, expect, it } from "vitest";
import { bridgeConfig, forward, subscription } from "./bridge.testing.ts";
import { bridgeFaults } from "./faults.ts";

const server = "mqtt://127.0.0.1";

function keysOf(cfg: Parameters<typeof bridgeConfig>[0]): string[] {
  return bridgeFaults(bridgeConfig({ server, ...cfg }), "bridges.cloud").map((fault) => fault.key);
}

describe("bridge configuration", () => {
  it("a complete one has no faults", () => {
    expect(
      keysOf({
        forwards: [
          forward("dev/+/#", "+/#", { prefix: "site/" }),
          forward("a", "$aws/things/x/shadow"),
        ],
        subscription: [
          subscription("$aws/things/+/shadow/#", "shadow"),
          subscription("$SYS/#", "", { prefix: "cloud/" }),
          subscription("$share/g/cmd/#", "#"),
        ],
      }),
    ).toEqual([]);
  });

  it.each([
    ["username", { password: "x" }],
    ["forwards[0].local_topic", { forwards: [forward("")] }],
    ["forwards[0].local_topic", { forwards: [forward("$SYS/#")] }],
    ["forwards[1].remote_topic", { forwards: [forward("a"), forward("a/+/b", "c/+")] }],
    ["forwards[0].remote_topic", { forwards: [forward("a", "$share/g/a")] }],
    ["forwards[0].remote_topic", { forwards: [forward("a", "x", { prefix: "p".repeat(65_535) })] }],
    ["subscription[0].remote_topic", { subscription: [subscription("")] }],
    ["subscription[0].local_topic", { subscription: [subscription("a/#", "b/#")] }],
    ["subscription[0].local_topic", { subscription: [subscription("a", "$SYS/a")] }],
    ["subscription[0].prefix", { subscription: [subscription("a", "b", { prefix: "$x/" })] }],
  ])("names %s", (key, cfg) => {
    expect(keysOf(cfg)).toEqual([`bridges.cloud.${key}`]);
  });

  it("MQTT 5.0 needs no user name beside a password", () => {
    expect(keysOf({ proto_ver: 5, password: "x" })).toEqual([]);
  });

  it("shows no secret", () => {
    const faults = bridgeFaults(bridgeConfig({ password: "hush" }), "b");
    expect(JSON.stringify(faults)).not.toContain("hush");
  });
});
