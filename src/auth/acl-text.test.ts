import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GatewayError, isGatewayError } from "../errors/index.ts";
import type { AclRequest } from "./acl.ts";
import { compileAclText } from "./acl-text.ts";
import { newRules } from "./rules.testing.ts";

function file(text: string, no_match: "allow" | "deny" = "deny") {
  const source = { type: "file", enable: true, rules: text, max_rules: null } as const;
  const { rules } = newRules({ no_match, sources: [source] });
  const ask =
    (action: "publish" | "subscribe") =>
    (topic: string, request: Partial<AclRequest> = {}) =>
      rules.authorize({
        clientId: "c1",
        username: "u1",
        address: "192.0.2.1",
        isSuperuser: false,
        qos: 0,
        retain: false,
        ...request,
        action,
        topic,
      });
  return { publish: ask("publish"), subscribe: ask("subscribe") };
}

/** What EMQX ships. */
const DEFAULT_FILE = `%%--------------------------------------------------------------------
%% -type(ipaddr() :: {ipaddr, string()}).
%%--------------------------------------------------------------------
{allow, {username, {re, "^dashboard$"}}, subscribe, ["$SYS/#"]}.

{allow, {ipaddr, "127.0.0.1"}, all, ["$SYS/#", "#"]}.

{deny, all, subscribe, ["$SYS/#", {eq, "#"}, {eq, "+/#"}]}.

{allow, all}.
%% NOTE: the end
`;

test("EMQX's own file means what it means there", () => {
  const { publish, subscribe } = file(DEFAULT_FILE);
  expect(publish("a/b")).toBe(true);
  expect(subscribe("a/#")).toBe(true);
  expect(subscribe("#")).toBe(false);
  expect(subscribe("+/#")).toBe(false);
  expect(subscribe("$SYS/brokers")).toBe(false);
  expect(subscribe("$SYS/brokers", { username: "dashboard" })).toBe(true);
  expect(subscribe("$SYS/brokers", { username: "dashboard2" })).toBe(false);
  expect(subscribe("#", { address: "127.0.0.1" })).toBe(true);
});

describe("who", () => {
  test.each<[string, Partial<AclRequest>, boolean]>([
    ["all", {}, true],
    ['{user, "u1"}', {}, true],
    ['{username, "u1"}', { username: "u2" }, false],
    ['{username, "u1"}', { username: null }, false],
    ['{username, <<"u1">>}', {}, true],
    ['{username, <<"u1"/utf8>>}', {}, true],
    ['{client, "c1"}', {}, true],
    ['{clientid, "c1"}', { clientId: "c" }, false],
    ['{clientid, {re, "^c[0-9]+$"}}', {}, true],
    ['{clientid, {re, "^c\\\\d$"}}', {}, true],
    ['{clientid, {re, "^x"}}', {}, false],
    ['{username, {re, ".*"}}', { username: null }, false],
    ['{ipaddr, "192.0.2.0/24"}', {}, true],
    ['{ipaddr, "192.0.3.0/24"}', {}, false],
    ['{ipaddrs, ["203.0.113.1", "192.0.2.1"]}', {}, true],
    ['{ipaddrs, ["203.0.113.1"]}', {}, false],
    ['{\'and\', [{username, "u1"}, {clientid, "c1"}]}', {}, true],
    ['{\'and\', [{username, "u1"}, {clientid, "c2"}]}', {}, false],
    ['{\'or\', [{username, "u2"}, {clientid, "c1"}]}', {}, true],
    ['{\'or\', [{username, "u2"}, {\'and\', [{clientid, "c1"}, {ipaddr, "::1"}]}]}', {}, false],
  ])("%s", (who, request, isAllowed) => {
    expect(file(`{allow, ${who}, all, ["t"]}.`).publish("t", request)).toBe(isAllowed);
  });

  test("a name too long for an expression is on the safe side", () => {
    const clientId = "c".repeat(300);
    expect(file('{allow, {clientid, {re, "^c"}}, all, ["t"]}.').publish("t", { clientId })).toBe(
      false,
    );
    expect(
      file('{deny, {clientid, {re, "^x"}}, all, ["t"]}.', "allow").publish("t", { clientId }),
    ).toBe(false);
  });
});

describe("action", () => {
  test("publish, subscribe and all", () => {
    const { publish, subscribe } = file(
      '{allow, all, publish, ["up"]}. {allow, all, subscribe, ["down"]}. {allow, all, all, ["x"]}.',
    );
    expect(["up", "down", "x"].map((topic) => publish(topic))).toEqual([true, false, true]);
    expect(["up", "down", "x"].map((topic) => subscribe(topic))).toEqual([false, true, true]);
  });

  test("QoS and Retain of what is published, QoS of what is subscribed to", () => {
    const { publish, subscribe } = file(`
      {allow, all, {publish, [{qos, 1}, {retain, false}]}, ["one"]}.
      {allow, all, {subscribe, [{qos, [0, 1]}]}, ["low"]}.
      {allow, all, {all, [{qos, 2}]}, ["two"]}.
      {allow, all, {publish, [{retain, true}]}, ["kept"]}.`);
    const kinds = [
      { qos: 0, retain: false },
      { qos: 1, retain: false },
      { qos: 2, retain: false },
      { qos: 1, retain: true },
      { qos: 2, retain: true },
    ] as const;
    const asked = (topic: string) => kinds.map((kind) => publish(topic, kind));
    for (let round = 0; round < 2; round++) {
      expect(asked("one")).toEqual([false, true, false, false, false]);
      expect(asked("two")).toEqual([false, false, true, false, true]);
      expect(asked("kept")).toEqual([false, false, false, true, true]);
    }
    expect(([0, 1, 2] as const).map((qos) => subscribe("low", { qos }))).toEqual([
      true,
      true,
      false,
    ]);
    expect(([0, 1, 2] as const).map((qos) => subscribe("two", { qos }))).toEqual([
      false,
      false,
      true,
    ]);
  });
});

test("topics: placeholders, literals in both spellings, none at all", () => {
  const { publish, subscribe } = file(`
    {deny, all, all, []}.
    {allow, all, all, ["dev/\${clientid}/#", {eq, "a/#"}, "eq b/+"]}.`);
  expect(publish("dev/c1/x")).toBe(true);
  expect(publish("dev/c2/x")).toBe(false);
  expect(subscribe("a/#")).toBe(true);
  expect(subscribe("a/x")).toBe(false);
  expect(subscribe("b/+")).toBe(true);
  expect(publish("b/x")).toBe(false);
});

test.each<[string, number, string]>([
  ["{allow, all}", 1, "dot"],
  ["{allow, all}.\n{alow, all}.", 2, "allow or deny"],
  ["{allow, all}.\n\n%% x\n{deny, nobody, all, []}.", 4, "who is"],
  ['{deny, {usernam, "x"}, all, []}.', 1, "who is"],
  ['{deny, all, read, ["t"]}.', 1, "action"],
  ['{deny, all, {publish, [{qos, 3}]}, ["t"]}.', 1, "QoS"],
  ['{deny, all, {subscribe, [{retain, true}]}, ["t"]}.', 1, "retain"],
  ['{deny, all, {publish, [{retain, 1}]}, ["t"]}.', 1, "retain"],
  ["{deny, all, all, t}.", 1, "list"],
  ['{deny, all, all, ["a/#/b"]}.', 1, "a/#/b"],
  ['{deny, all, all, ["${zone}/x"]}.', 1, "${clientid} and ${username}"],
  ['{deny, {ipaddr, "300.1.1.1"}, all, ["t"]}.', 1, "address"],
  ['{deny, {clientid, {re, "(?=x)"}}, all, ["t"]}.', 1, "regular expression"],
  ['{deny, {clientid, {re, "("}}, all, ["t"]}.', 1, "regular expression"],
  ['{deny, {username, ""}, all, ["t"]}.', 1, "empty"],
  ["{deny, {'and', []}, all, [\"t\"]}.", 1, "no condition"],
  ['{deny, all, all, ["t}.', 1, "closing"],
  ["{deny, all, all, [", 1, "ends"],
  [`${"[".repeat(50)}`, 1, "deep"],
  ["{deny all}.", 1, '","'],
  ["?", 1, "not expected"],
])("%j is refused with line %i and a reason", (text, line, reason) => {
  const err = catching(() => compileAclText(text, "acl"));
  expect(err.code).toBe("CONFIG_CHECK_FAILED");
  expect(err.message).toContain(`line ${line}: `);
  expect(err.message).toContain(reason);
});

test("there are not more expressions than can be tried on a client", () => {
  const rule = '{deny, {clientid, {re, "x"}}, all, ["t"]}.\n';
  expect(compileAclText(rule.repeat(100), "acl")).toHaveLength(100);
  expect(catching(() => compileAclText(rule.repeat(101), "acl")).message).toContain("line 101");
});

test("any text is compiled or refused in order, in bounded time", () => {
  const piece = fc.constantFrom(
    ..."{ } [ ] , . allow deny all publish {qos,1} 'and' \" ' <<".split(" "),
    '"a/#"',
    "\\",
    "%\n",
    "\n",
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(piece).map((parts) => parts.join(" ")),
      ),
      (text) => {
        try {
          compileAclText(text, "acl");
        } catch (err) {
          if (!isGatewayError(err, "CONFIG_CHECK_FAILED")) throw err;
        }
      },
    ),
    { numRuns: 2000 },
  );
  const longest = '{deny, {username, "someone"}, all, ["some/topic/#"]}.\n'.repeat(600);
  const before = process.cpuUsage();
  compileAclText(longest, "acl");
  // CPU time: others may have the processor. A text of 32 kB takes some 10 ms the first time.
  expect(process.cpuUsage(before).user).toBeLessThan(100_000);
});

function catching(work: () => unknown): GatewayError {
  try {
    work();
  } catch (err) {
    if (err instanceof GatewayError) return err;
    throw err;
  }
  throw new Error("nothing was thrown");
}
