import { describe, expect, test } from "vitest";
import type { Config } from "../config/index.ts";
import { GatewayError } from "../errors/index.ts";
import type { AclRequest } from "./acl.ts";
import type { DatabaseRule } from "./rule-database.ts";
import { aclWith, newRules } from "./rules.testing.ts";

const SOURCE = { type: "built_in_database", enable: true, rules: null, max_rules: null } as const;

const rule = (permission: "allow" | "deny", topic: string, more: Partial<DatabaseRule> = {}) =>
  ({ topic, permission, action: "all", qos: [0, 1, 2], retain: "all", ...more }) as DatabaseRule;

function setUp(part: Partial<Config["acl"]> = {}) {
  const parts = newRules({ no_match: "deny", sources: [SOURCE], ...part });
  const ask = (topic: string, request: Partial<AclRequest> = {}) =>
    parts.rules.authorize({
      clientId: "c1",
      username: "u1",
      address: "192.0.2.1",
      isSuperuser: false,
      qos: 0,
      retain: false,
      action: "publish",
      topic,
      ...request,
    });
  return { ...parts, ask };
}

describe("decisions", () => {
  test("rules of the client come before its user's, and those before everybody's", async () => {
    const { database, ask } = setUp();
    await database.putAll([rule("deny", "t"), rule("allow", "open")]);
    expect([ask("t"), ask("open")]).toEqual([false, true]);
    await database.put("users", { name: "u1", rules: [rule("allow", "t")] });
    expect([ask("t"), ask("t", { username: "u2" })]).toEqual([true, false]);
    await database.put("clients", { name: "c1", rules: [rule("deny", "t")] });
    expect([ask("t"), ask("t", { clientId: "c2" })]).toEqual([false, true]);
    await database.delete("clients", "c1");
    expect(ask("t")).toBe(true);
  });

  test("the configured rules come first, then the sources in their order", async () => {
    const file = {
      type: "file",
      enable: true,
      rules: '{deny, all, all, ["f"]}.',
      max_rules: null,
    } as const;
    const first = {
      permit: "deny",
      action: "pubsub",
      topics: ["c"],
      ipaddr: null,
      username: null,
      clientid: null,
      and: [],
      or: [],
    } as const;
    const acl = { rules: [first], no_match: "deny" } as const;
    const { database, rules, ask } = setUp({ ...acl, sources: [file, SOURCE] });
    await database.putAll([rule("allow", "#")]);
    expect([ask("c"), ask("f"), ask("x")]).toEqual([false, false, true]);
    rules.reconfigure(aclWith({ ...acl, sources: [SOURCE, file] }));
    expect([ask("c"), ask("f"), ask("x")]).toEqual([false, true, true]);
    rules.reconfigure(aclWith({ ...acl, sources: [{ ...SOURCE, enable: false }, file] }));
    expect([ask("c"), ask("f"), ask("x")]).toEqual([false, false, false]);
  });

  test("QoS, Retain, action, literals and placeholders", async () => {
    const { database, ask } = setUp();
    await database.put("users", {
      name: "u1",
      rules: [
        rule("allow", "one", { action: "publish", qos: [1], retain: false }),
        rule("allow", "eq a/#", { action: "subscribe" }),
        rule("allow", "own/${username}/${clientid}/#"),
      ],
    });
    expect(ask("one", { qos: 1 })).toBe(true);
    expect(ask("one", { qos: 1, retain: true })).toBe(false);
    expect(ask("one", { qos: 0 })).toBe(false);
    expect(ask("one", { qos: 1, action: "subscribe" })).toBe(false);
    expect(ask("a/#", { action: "subscribe" })).toBe(true);
    expect(ask("a/b", { action: "subscribe" })).toBe(false);
    expect(ask("own/u1/c1/x")).toBe(true);
    expect(ask("own/u1/c2/x")).toBe(false);
  });

  test("a superuser may do everything, as far as the account still is one", () => {
    const { ask } = setUp();
    expect(ask("t", { isSuperuser: true })).toBe(true);
    expect(ask("t")).toBe(false);
  });

  test("every change gives a new revision, unless nothing is to be remembered", async () => {
    const { database, rules } = setUp();
    const before = rules.revision();
    await database.put("users", { name: "u1", rules: [] });
    expect(rules.revision()).not.toBe(before);
    const cache = { enable: false, max_size: 32, ttl_s: 60, excludes: [] };
    rules.reconfigure(aclWith({ cache, sources: [SOURCE] }));
    expect(rules.revision()).toBeLessThan(0);
  });

  test("what is remembered is listed, bounded, and gone after its time and after a change", async () => {
    const cache = { enable: true, max_size: 3, ttl_s: 10, excludes: ["x/#"] };
    const { database, rules, clock, ask } = setUp({ cache });
    await database.putAll([1, 2, 3, 4].map((n) => rule("allow", `t${n}`)));
    rules.start();
    const remembered = () => [...rules.remembered("c1")].map(({ topic }) => topic);
    ask("t1");
    ask("t2", { qos: 1, retain: true });
    ask("x/1");
    expect([...rules.remembered("c1")]).toEqual([
      { topic: "t1", qos: 0, retain: false, isAllowed: true, atMs: clock.nowMs() },
      { topic: "t2", qos: 1, retain: true, isAllowed: true, atMs: clock.nowMs() },
    ]);
    ask("t3");
    ask("t4");
    expect(remembered()).toEqual(["t4"]);
    clock.advance(10_000);
    expect(remembered()).toEqual([]);
    ask("t1");
    await database.putAll([1, 2, 3, 4].map((n) => rule("deny", `t${n}`)));
    expect(remembered()).toEqual([]);
    expect(ask("t1")).toBe(false);
    rules.stop();
  });

  test("what the source did is counted", async () => {
    const { database, rules, ask } = setUp();
    await database.putAll([rule("allow", "a"), rule("deny", "d")]);
    ask("a");
    ask("d");
    ask("n");
    expect(rules.status("built_in_database")).toMatchObject({ allow: 1, deny: 1, nomatch: 1 });
    expect(rules.counts()).toMatchObject({ allow: 1, deny: 2, nomatch: 1 });
  });
});

describe("keeping", () => {
  test("rules are there again after a restart, names with prefixes of others included", async () => {
    const { database, table } = setUp();
    await database.create("clients", [
      { name: "c:x", rules: [rule("allow", "t")] },
      { name: "__proto__", rules: [] },
    ]);
    await database.create("users", [{ name: "a:", rules: [rule("deny", "t", { qos: [1] })] }]);
    await database.putAll([rule("allow", "all/#")]);
    const again = setUp();
    for (const [key, value] of table.rows) again.table.put(key, value);
    await again.database.load();
    expect(again.database.get("clients", "c:x")).toEqual([rule("allow", "t")]);
    expect(again.database.get("clients", "__proto__")).toEqual([]);
    expect(again.database.get("users", "a:")).toEqual([rule("deny", "t", { qos: [1] })]);
    expect(again.database.all()).toEqual([rule("allow", "all/#")]);
    await again.database.clear();
    expect([again.table.rows.size, again.database.size]).toEqual([0, 0]);
  });

  test("create takes all or none and refuses names that are there; put replaces", async () => {
    const { database } = setUp({ sources: [{ ...SOURCE, max_rules: 2 }] });
    await database.create("users", [{ name: "a", rules: [] }]);
    const entries = (names: readonly string[]) => names.map((name) => ({ name, rules: [] }));
    const exists = { code: "ACL_RULES_EXIST" };
    await expect(database.create("users", entries(["b", "a"]))).rejects.toMatchObject(exists);
    await expect(database.create("users", entries(["b", "b"]))).rejects.toMatchObject(exists);
    expect(database.get("users", "b")).toBeNull();
    const three = [rule("allow", "x"), rule("allow", "y"), rule("allow", "z")];
    const invalid = { code: "PARAMETER_INVALID" };
    await expect(database.put("users", { name: "a", rules: three })).rejects.toMatchObject(invalid);
    await expect(
      database.put("users", { name: "a", rules: [rule("allow", "a/#/b")] }),
    ).rejects.toMatchObject(invalid);
    await expect(database.put("users", { name: "", rules: [] })).rejects.toMatchObject(invalid);
    await expect(database.delete("users", "zz")).rejects.toMatchObject({
      code: "ACL_RULES_NOT_FOUND",
    });
    await database.put("users", { name: "a", rules: three.slice(0, 2) });
    expect([...database.list("users")]).toMatchObject([{ name: "a", rules: three.slice(0, 2) }]);
    expect(database.count("users")).toBe(1);
  });

  test("a change that does not last is taken back", async () => {
    const { database, table, ask } = setUp();
    await database.put("users", { name: "u1", rules: [rule("allow", "t")] });
    await database.putAll([rule("allow", "all")]);
    const before = new Map(table.rows);
    table.failure = new GatewayError("STORE_FULL", { reason: "no space" });
    const refused = { code: "STORE_FULL" };
    await expect(database.delete("users", "u1")).rejects.toMatchObject(refused);
    await expect(database.put("users", { name: "u1", rules: [] })).rejects.toMatchObject(refused);
    await expect(database.putAll([])).rejects.toMatchObject(refused);
    expect([ask("t"), ask("all")]).toEqual([true, true]);
    expect(table.rows).toEqual(before);
  });
});

test("100,000 clients with rules of their own cost each only its own", async () => {
  const { database, ask } = setUp();
  await database.create(
    "clients",
    Array.from({ length: 100_000 }, (_, i) => ({
      name: `d${i}`,
      rules: [rule("allow", `dev/d${i}/#`)],
    })),
  );
  const startMs = performance.now();
  for (let i = 0; i < 10_000; i++) {
    const clientId = `d${i * 10}`;
    if (!ask(`dev/${clientId}/x`, { clientId }) || ask("dev/other/x", { clientId })) {
      throw new Error(`${clientId} is judged wrongly`);
    }
  }
  expect((performance.now() - startMs) / 10_000).toBeLessThan(0.2);
});
