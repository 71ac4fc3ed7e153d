import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Config } from "../config/index.ts";
import { matches, topicFilter } from "../mqtt/index.ts";
import type { AclRequest } from "./acl.ts";
import { newRules } from "./rules.testing.ts";

type Rule = Config["acl"]["rules"][number];

function rule(part: Partial<Rule>): Rule {
  return {
    permit: "deny",
    action: "pubsub",
    topics: [],
    ipaddr: null,
    username: null,
    clientid: null,
    and: [],
    or: [],
    ...part,
  };
}

const who = (part: Partial<Rule["and"][number]>) => ({
  ipaddr: null,
  username: null,
  clientid: null,
  ...part,
});

function acl(rules: readonly Partial<Rule>[], no_match: "allow" | "deny" = "deny") {
  const { rules: built } = newRules({ no_match, rules: rules.map(rule) });
  const ask =
    (action: "publish" | "subscribe") =>
    (topic: string, client: Partial<AclRequest> = {}) =>
      built.authorize({
        clientId: "c1",
        username: "u1",
        address: "192.0.2.1",
        qos: 0,
        retain: false,
        isSuperuser: false,
        ...client,
        action,
        topic,
      });
  return { publish: ask("publish"), subscribe: ask("subscribe") };
}

describe("which rule decides", () => {
  test("without rules no_match decides", () => {
    expect(acl([], "allow").publish("a")).toBe(true);
    expect(acl([], "deny").subscribe("a")).toBe(false);
  });

  test("the first rule that fits decides", () => {
    const { publish } = acl([
      { permit: "allow", topics: ["a/b"] },
      { permit: "deny", topics: ["a/#"] },
      { permit: "allow" },
    ]);
    expect(publish("a/b")).toBe(true);
    expect(publish("a/c")).toBe(false);
    expect(publish("x")).toBe(true);
  });

  test("a rule is about its action only; pubsub is both", () => {
    const { publish, subscribe } = acl([
      { permit: "allow", action: "publish", topics: ["up"] },
      { permit: "allow", action: "subscribe", topics: ["down"] },
      { permit: "allow", action: "pubsub", topics: ["both"] },
    ]);
    expect([publish("up"), publish("down"), publish("both")]).toEqual([true, false, true]);
    expect([subscribe("up"), subscribe("down"), subscribe("both")]).toEqual([false, true, true]);
  });

  test("personal and general rules keep their order", () => {
    const { publish } = acl(
      [
        { permit: "deny", topics: ["x"], username: "u1" },
        { permit: "allow", topics: ["x"] },
        { permit: "deny", clientid: "c2" },
        { permit: "allow", topics: ["y"] },
        { permit: "allow", username: "u1", topics: ["z"] },
      ],
      "deny",
    );
    expect(publish("x")).toBe(false);
    expect(publish("x", { username: "u2" })).toBe(true);
    expect(publish("y")).toBe(true);
    expect(publish("y", { clientId: "c2" })).toBe(false);
    expect(publish("z")).toBe(true);
    expect(publish("z", { username: null })).toBe(false);
  });
});

describe("who a rule is about", () => {
  test("user name and client id are compared whole; # is anybody, named or not", () => {
    const named = acl([{ permit: "allow", username: "u1", clientid: "c1" }]);
    expect(named.publish("t")).toBe(true);
    expect(named.publish("t", { username: "u11" })).toBe(false);
    expect(named.publish("t", { clientId: "c" })).toBe(false);
    expect(named.publish("t", { username: null })).toBe(false);
    const anybody = acl([{ permit: "allow", username: "#", clientid: "#" }]);
    expect(anybody.publish("t", { username: null })).toBe(true);
  });

  test("a client that calls itself # is not anybody", () => {
    const { publish } = acl([{ permit: "allow", username: "u1" }]);
    expect(publish("t", { username: "#", clientId: "#" })).toBe(false);
  });

  test.each([
    ["192.0.2.0/24", "192.0.2.255", true],
    ["192.0.2.0/24", "192.0.3.0", false],
    ["192.0.2.7", "192.0.2.7", true],
    ["192.0.2.7", "192.0.2.8", false],
    ["0.0.0.0/0", "203.0.113.1", true],
    ["2001:db8::/32", "2001:db8:ffff::1", true],
    ["2001:db8::/32", "2001:db9::1", false],
    ["fe80::/10", "fe80::1%eth0", true],
    ["::1", "::1", true],
    ["::/0", "not an address", false],
  ])("ipaddr %s and %s: %s", (ipaddr, address, isAllowed) => {
    expect(acl([{ permit: "allow", ipaddr }]).publish("t", { address })).toBe(isAllowed);
  });

  test("conditions beside each other, and all of `and`, must fit; of `or` one", () => {
    const { publish } = acl([
      {
        permit: "allow",
        ipaddr: "192.0.2.0/24",
        and: [who({ username: "u1" }), who({ clientid: "c1" })],
        or: [who({ clientid: "c1" }), who({ clientid: "c2" })],
      },
    ]);
    expect(publish("t")).toBe(true);
    expect(publish("t", { address: "203.0.113.1" })).toBe(false);
    expect(publish("t", { clientId: "c2" })).toBe(false);
    expect(publish("t", { username: "u2" })).toBe(false);
    const either = acl([
      { permit: "allow", or: [who({ username: "u2" }), who({ clientid: "c1" })] },
    ]);
    expect(either.publish("t")).toBe(true);
    expect(either.publish("t", { clientId: "c2" })).toBe(false);
  });

  test("a client id that comes back as another user or from elsewhere is judged anew", () => {
    const { publish } = acl([{ permit: "allow", username: "u1", ipaddr: "192.0.2.1" }]);
    for (let i = 0; i < 2; i++) {
      expect(publish("t")).toBe(true);
      expect(publish("t", { username: "u2" })).toBe(false);
      expect(publish("t", { address: "192.0.2.2" })).toBe(false);
    }
  });
});

describe("subscriptions", () => {
  test("allow needs a rule that covers the whole filter", () => {
    const { subscribe } = acl([{ permit: "allow", topics: ["a/+/c", "b/#"] }]);
    expect(
      ["a/x/c", "a/+/c", "b", "b/#", "b/+/x", "b/x/#"].every((filter) => subscribe(filter)),
    ).toBe(true);
    expect(
      ["#", "+/x/c", "a/#", "a/x/+", "a/x/c/#", "+", "b+"].some((filter) => subscribe(filter)),
    ).toBe(false);
  });

  test("deny stops every filter through which a denied topic would come", () => {
    const { subscribe } = acl([{ permit: "deny", topics: ["secret/#"] }], "allow");
    for (const filter of ["#", "+/#", "+/x", "secret", "secret/#", "secret/+", "+"]) {
      expect(subscribe(filter), filter).toBe(false);
    }
    for (const filter of ["open/#", "secrets/#", "$SYS/#", "+b/secret"]) {
      expect(subscribe(filter), filter).toBe(true);
    }
  });

  test("an earlier rule that allows the whole filter decides before a deny", () => {
    const { subscribe } = acl([
      { permit: "allow", topics: ["secret/public/#"] },
      { permit: "allow", username: "admin", topics: ["#"] },
      { permit: "deny", topics: ["secret/#"] },
      { permit: "allow" },
    ]);
    expect(subscribe("secret/public/+")).toBe(true);
    expect(subscribe("secret/+/x")).toBe(false);
    expect(subscribe("#")).toBe(false);
    expect(subscribe("#", { username: "admin" })).toBe(true);
  });

  test("# does not reach topics that start with $, as a rule and as a filter [MQTT-4.7.2-1]", () => {
    const everything = acl([{ permit: "allow", topics: ["#"] }]);
    expect(everything.subscribe("#")).toBe(true);
    expect(everything.subscribe("$SYS/#")).toBe(false);
    const { subscribe } = acl([{ permit: "deny", topics: ["$SYS/#"] }], "allow");
    expect(subscribe("#")).toBe(true);
    expect(subscribe("+/brokers")).toBe(true);
    expect(subscribe("$SYS/brokers")).toBe(false);
  });

  test("a shared subscription is decided by its filter", () => {
    const { subscribe } = acl([{ permit: "deny", topics: ["secret/#"] }], "allow");
    expect(subscribe("$share/group/secret/x")).toBe(false);
    expect(subscribe("$share/secret/#")).toBe(false);
    expect(subscribe("$share/group/open/x")).toBe(true);
    expect(subscribe("$share/group//secret")).toBe(true);
  });

  test("what is granted never delivers a topic that the client may not be sent", () => {
    const level = fc.constantFrom("a", "b", "+");
    const filter = fc
      .tuple(
        fc.array(level, { maxLength: 3 }),
        fc.constantFrom<readonly string[]>([], ["#"], ["a"]),
      )
      .map(([head, tail]) => [...head, ...tail].join("/"))
      .filter((text) => text !== "");
    const rules = fc.array(
      fc.record({
        permit: fc.constantFrom("allow" as const, "deny" as const),
        topics: fc.array(filter, { minLength: 1, maxLength: 2 }),
      }),
      { maxLength: 5 },
    );
    const topics = ["a", "b", "a/a", "a/b", "b/a", "b/b", "a/a/a", "a/b/a", "b/b/b", "a/a/b/b"];
    fc.assert(
      fc.property(
        rules,
        fc.constantFrom("allow" as const, "deny" as const),
        filter,
        (list, no_match, wanted) => {
          const { publish, subscribe } = acl(list, no_match);
          if (!subscribe(wanted)) return;
          for (const name of topics) {
            // These rules are about both actions, so a publish asks about the topic alone.
            if (matches(wanted, name)) expect(publish(name), name).toBe(true);
          }
        },
      ),
      { numRuns: 5000 },
    );
  });
});

describe("literal topics", () => {
  test("@ compares with the topic or the requested filter, wildcards and placeholders included", () => {
    const { publish, subscribe } = acl([{ permit: "allow", topics: ["@a/#", "@b/c"] }]);
    expect(subscribe("a/#")).toBe(true);
    expect(subscribe("a/b")).toBe(false);
    expect(publish("a/b")).toBe(false);
    expect(publish("b/c")).toBe(true);
    expect(subscribe("b/c")).toBe(true);
    expect(subscribe("b/+")).toBe(false);
  });

  test("deny @# refuses # alone; deny @x refuses every way to read x", () => {
    const wildcard = acl([{ permit: "deny", topics: ["@#"] }], "allow");
    expect(wildcard.subscribe("#")).toBe(false);
    expect(wildcard.subscribe("a/#")).toBe(true);
    const plain = acl([{ permit: "deny", topics: ["@x/y"] }], "allow");
    expect(plain.publish("x/y")).toBe(false);
    expect(plain.subscribe("x/+")).toBe(false);
    expect(plain.subscribe("x/z")).toBe(true);
  });
});

describe("placeholders", () => {
  const OWN = [{ permit: "allow" as const, topics: ["dev/${clientid}/#", "user/${username}-x"] }];

  test("stand for the client's own values, also inside a level", () => {
    const { publish, subscribe } = acl(OWN);
    expect(publish("dev/c1/t")).toBe(true);
    expect(publish("dev/c1")).toBe(true);
    expect(publish("dev/c12/t")).toBe(false);
    expect(publish("dev/c2/t")).toBe(false);
    expect(publish("user/u1-x")).toBe(true);
    expect(subscribe("dev/c1/#")).toBe(true);
    expect(subscribe("dev/+/#")).toBe(false);
  });

  test.each(["+", "#", "a/b", "c1/#", "/"])("a client id %s denies", (clientId) => {
    const { publish, subscribe } = acl(OWN, "allow");
    expect(publish(`dev/${clientId}/t`, { clientId })).toBe(false);
    expect(publish("anything", { clientId })).toBe(false);
    expect(subscribe("dev/#", { clientId })).toBe(false);
  });

  test.each(["+", "#", "a/b"])("a user name %s denies", (username) => {
    expect(acl(OWN, "allow").subscribe("user/#", { username })).toBe(false);
  });

  test("a value may not open the $ topics", () => {
    const { publish, subscribe } = acl([{ permit: "allow", topics: ["${clientid}/#"] }]);
    expect(subscribe("$SYS/#", { clientId: "$SYS" })).toBe(false);
    expect(publish("$SYS/x", { clientId: "$SYS" })).toBe(false);
    expect(publish("c1/x")).toBe(true);
    expect(acl(OWN).publish("dev/$c/x", { clientId: "$c" })).toBe(true);
  });

  test("a client without user name has no topics of its own, but all others", () => {
    const { publish, subscribe } = acl([
      { permit: "allow", topics: ["u${username}/#"] },
      { permit: "allow", topics: ["open"] },
    ]);
    expect(publish("u/x", { username: null })).toBe(false);
    expect(subscribe("u/#", { username: null })).toBe(false);
    expect(publish("open", { username: null })).toBe(true);
  });

  test("a value that looks like a placeholder is not put in a second time", () => {
    const { publish } = acl([{ permit: "allow", topics: ["dev/${clientid}"] }]);
    expect(publish("dev/u1", { clientId: "${username}" })).toBe(false);
    expect(publish("dev/${username}", { clientId: "${username}" })).toBe(true);
  });

  test("a deny with a placeholder stops wildcards over it", () => {
    const { subscribe } = acl([{ permit: "deny", topics: ["dev/${clientid}/secret"] }], "allow");
    expect(subscribe("dev/+/secret")).toBe(false);
    expect(subscribe("dev/c2/secret")).toBe(true);
  });
});

describe("remembering", () => {
  test("decisions are the same the second time and with many topics and clients", () => {
    const rules = [
      ...Array.from({ length: 20 }, (_, i) => ({
        permit: "deny" as const,
        topics: [`deny/${i}/#`],
      })),
      { permit: "allow" as const, topics: ["dev/${clientid}/#"] },
      { permit: "allow" as const, username: "u7", topics: ["deep/+/x"] },
    ];
    const { publish } = acl(rules);
    for (let round = 0; round < 2; round++) {
      for (let c = 0; c < 50; c++) {
        const client = { clientId: `c${c}`, username: `u${c % 10}` };
        for (let t = 0; t < 50; t++) {
          expect(publish(`dev/c${t}/x`, client)).toBe(t === c);
          expect(publish(`deny/${t}/x`, client)).toBe(false);
          expect(publish(`deep/${t}/x`, client)).toBe(c % 10 === 7);
        }
      }
    }
  });

  test("any number of client ids is served from bounded memory", () => {
    const { publish } = acl([
      { permit: "allow", ipaddr: "192.0.2.0/24", topics: ["a"] },
      { permit: "allow", clientid: "id 1", topics: ["b"] },
    ]);
    for (let i = 0; i < 200_000; i++) expect(publish("a", { clientId: `id ${i}` })).toBe(true);
    expect(publish("b", { clientId: "id 1" })).toBe(true);
  });
});

describe("rules that could never work", () => {
  test.each<[string, Partial<Rule>, string]>([
    ["an address that is none", { ipaddr: "192.0.2" }, "acl.rules[0].ipaddr"],
    ["a block too long", { ipaddr: "192.0.2.0/33" }, "acl.rules[0].ipaddr"],
    ["a block without length", { ipaddr: "192.0.2.0/" }, "acl.rules[0].ipaddr"],
    ["two lengths", { ipaddr: "192.0.2.0/24/8" }, "acl.rules[0].ipaddr"],
    ["an empty user name", { username: "" }, "acl.rules[0].username"],
    ["an empty client id", { or: [who({ clientid: "" })] }, "acl.rules[0].or[0].clientid"],
    ["a member about nothing", { and: [who({})] }, "acl.rules[0].and[0]"],
    ["a filter against the grammar", { topics: ["ok", "a/#/b"] }, "acl.rules[0].topics[1]"],
    ["a wildcard inside a level", { topics: ["a+"] }, "acl.rules[0].topics[0]"],
    ["an empty literal", { topics: ["@"] }, "acl.rules[0].topics[0]"],
    ["an unknown placeholder", { topics: ["${user}/x"] }, "acl.rules[0].topics[0]"],
    ["a shared subscription", { topics: ["$share/g/x"] }, "acl.rules[0].topics[0]"],
  ])("%s is refused and named", (_, part, key) => {
    expect(() => acl([part])).toThrow(
      expect.objectContaining({
        code: "CONFIG_CHECK_FAILED",
        details: expect.objectContaining({ key }),
      }),
    );
  });

  test("every valid filter is accepted", () => {
    const level = fc.constantFrom("a", "", "+", "$x", "${clientid}", "x${username}");
    fc.assert(
      fc.property(fc.array(level, { minLength: 1, maxLength: 5 }), (levels) => {
        const filter = levels.join("/");
        fc.pre(filter !== "");
        topicFilter(filter);
        acl([{ topics: [filter] }]);
      }),
    );
  });
});
