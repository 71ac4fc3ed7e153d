import { expect, test } from "vitest";
import { createLog } from "../log/index.ts";
import { topic, topicFilter } from "../mqtt/index.ts";
import { createRewrite, type RewriteRule } from "./index.ts";

const log = createLog({ level: "fatal" }, { write: () => undefined });
const dev = { clientId: "dev-1", username: "ann" };

function rewrite(...rules: Partial<RewriteRule>[]) {
  const base = { action: "all", source_topic: "#", re: "(.*)", dest_topic: "x" } as const;
  return createRewrite(
    { log },
    rules.map((rule) => ({ ...base, ...rule })),
  );
}

test("groups and the client's names are put into the target", () => {
  const rules = rewrite({
    source_topic: "x/#",
    re: "^x/y/(.+)/(\\d+)$",
    dest_topic: "${username}/${clientid}/$2/$1/$9",
  });
  expect(rules.topic(dev, topic("x/y/a/b/7"))).toBe("ann/dev-1/7/a/b/");
  expect(rules.topic(dev, topic("x/y/a/b"))).toBe("x/y/a/b");
  expect(rules.topic(dev, topic("other/y/a/7"))).toBe("other/y/a/7");
});

test("only the last rule whose source matches is tried, even when it finds nothing", () => {
  const rules = rewrite(
    { source_topic: "y/+/z/#", re: "^y/(.+)/z/(.+)$", dest_topic: "y/z/$2" },
    { source_topic: "x/#", re: "^x/y/(.+)$", dest_topic: "z/y/x/$1" },
    { source_topic: "x/y/+", re: "^x/y/(\\d+)$", dest_topic: "z/y/$1" },
  );
  expect(rules.topic(dev, topic("x/y/123"))).toBe("z/y/123");
  expect(rules.topic(dev, topic("x/y/abc"))).toBe("x/y/abc");
  expect(rules.topic(dev, topic("x/y/abc/d"))).toBe("z/y/x/abc/d");
  expect(rules.topic(dev, topic("y/a/z/b"))).toBe("y/z/b");
});

test("a rule is for publishing, subscribing, or both; of a shared filter the group stays", () => {
  const rules = rewrite(
    { action: "publish", source_topic: "p/#", dest_topic: "published" },
    { action: "subscribe", source_topic: "s/#", re: "^s/(.*)$", dest_topic: "t/$1" },
  );
  expect(rules.topic(dev, topic("p/1"))).toBe("published");
  expect(rules.topic(dev, topic("s/1"))).toBe("s/1");
  expect(rules.filter(dev, topicFilter("p/1"))).toBe("p/1");
  expect(rules.filter(dev, topicFilter("s/+/b/#"))).toBe("t/+/b/#");
  expect(rules.filter(dev, topicFilter("$share/g/s/1"))).toBe("$share/g/t/1");
});

test.each([
  ["a name with a wildcard", { dest_topic: "c/${clientid}" }, { clientId: "#", username: null }],
  [
    "a name that adds a level",
    { dest_topic: "c/${clientid}" },
    { clientId: "a/b", username: null },
  ],
  ["no user name", { dest_topic: "u/${username}" }, { clientId: "a", username: null }],
  ["the gateway's own topics", { dest_topic: "$SYS/brokers" }, dev],
  ["an empty target", { re: "^(z)?", dest_topic: "$1" }, dev],
])("a topic stays as it is with %s", (_, rule, client) => {
  expect(rewrite(rule).topic(client, topic("t/1"))).toBe("t/1");
});

test("new rules apply at once and are told by the revision", () => {
  const rules = rewrite();
  expect(rules).toMatchObject({ hasPublishRules: false, hasSubscribeRules: false });
  const before = rules.revision;
  rules.configure([{ action: "publish", source_topic: "a", re: "a", dest_topic: "b" }]);
  expect(rules).toMatchObject({ hasPublishRules: true, hasSubscribeRules: false });
  expect(rules.revision).not.toBe(before);
  expect(rules.topic(dev, topic("a"))).toBe("b");
});
