import { describe, expect, expectTypeOf, test } from "vitest";
import type { BridgeConfig } from "./bridge-schema.ts";
import { defaultsOf, holdsSecrets, treeFaults } from "./collections.ts";
import { type Format, isKeyRow, type KeyRow, type SchemaTree } from "./format.ts";
import { KEY_BY_PATH, KEY_BY_VARIABLE, KEYS } from "./keys.ts";
import { type Config, SCHEMA } from "./schema.ts";

describe("the schema", () => {
  test("finds nothing wrong with its own defaults", () => {
    expect(treeFaults(SCHEMA, defaultsOf(SCHEMA))).toEqual([]);
  });

  test("gives every key an environment variable of its own that is no other option's", () => {
    expect(KEY_BY_VARIABLE.size).toBe(KEYS.length);
    expect(KEY_BY_VARIABLE.has("TIDEGATE_CONFIG")).toBe(false);
    expect(KEY_BY_VARIABLE.has("TIDEGATE_DATA")).toBe(false);
    expect(KEY_BY_PATH.get("listeners.tcp.port")?.variable).toBe("TIDEGATE_LISTENERS_TCP_PORT");
  });

  test("gives no key a name the configuration library would misunderstand", () => {
    for (const { path } of KEYS) {
      for (const name of path) {
        expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
        // convict takes a group that has one for a key.
        expect(name).not.toBe("default");
        expect(name in Object.prototype).toBe(false);
      }
    }
  });

  test("lets formats share a name only when they are the same format", () => {
    const expectedOf = new Map<string, string>();
    for (const { row } of KEYS) {
      const { name, expected } = row.format;
      expect(expectedOf.get(name) ?? expected, name).toBe(expected);
      expectedOf.set(name, expected);
    }
  });

  test("tells the elements of every list with secrets apart, so that masks can be undone", () => {
    for (const { key, row } of KEYS) expectIdentities(row.format, key);
  });

  test("marks every password, and hashes those that nobody needs in clear", () => {
    const secrets = allRows(SCHEMA).filter(([key]) => /(password|secret)$/.test(key));
    expect(secrets.map(([key, row]) => [key, row.sensitive, row.hashed])).toEqual([
      ["extra_listeners.tls.key_password", true, undefined],
      ["tls.key_password", true, undefined],
      ["auth.users.password", true, true],
      ["http.password", true, true],
      ["api_key.keys.secret", true, true],
      ["dashboard.users.password", true, true],
      ["bridges.password", true, undefined],
      ["bridges.tls.key_password", true, undefined],
    ]);
  });
});

test("Config is typed to the leaf", () => {
  expectTypeOf<Config["listeners"]["tcp"]["port"]>().toEqualTypeOf<number>();
  expectTypeOf<Config["listeners"]["wss"]["path"]>().toEqualTypeOf<string>();
  expectTypeOf<Config["log"]["level"]>().toEqualTypeOf<
    "fatal" | "error" | "warn" | "info" | "debug" | "trace"
  >();
  expectTypeOf<Config["tls"]["key_file"]>().toEqualTypeOf<string | null>();
  expectTypeOf<Config["http"]["emqx_port"]>().toEqualTypeOf<number | null>();
  expectTypeOf<Config["http"]["auth_type"]>().toEqualTypeOf<"basic" | "jwt">();
  expectTypeOf<Config["acl"]["no_match"]>().toEqualTypeOf<"allow" | "deny">();
  type Rule = Config["acl"]["rules"][number];
  expectTypeOf<Rule["permit"]>().toEqualTypeOf<"allow" | "deny">();
  expectTypeOf<Rule["action"]>().toEqualTypeOf<"publish" | "subscribe" | "pubsub">();
  expectTypeOf<Rule["topics"]>().toEqualTypeOf<readonly string[]>();
  expectTypeOf<Rule["and"][number]["username"]>().toEqualTypeOf<string | null>();
  expectTypeOf<Config["auth"]["users"][number]>().toEqualTypeOf<{
    readonly username: string;
    readonly password: string;
  }>();
  expectTypeOf<Config["bridges"]>().toEqualTypeOf<Readonly<Record<string, BridgeConfig>>>();
  expectTypeOf<BridgeConfig["proto_ver"]>().toEqualTypeOf<3 | 4 | 5>();
  expectTypeOf<BridgeConfig["tls"]["verify"]>().toEqualTypeOf<boolean>();
  expectTypeOf<BridgeConfig["forwards"][number]["qos"]>().toEqualTypeOf<0 | 1 | 2 | null>();
  expectTypeOf<BridgeConfig["subscription"][number]["qos"]>().toEqualTypeOf<0 | 1 | 2>();
});

describe("a bridge", () => {
  const faults = (bridge: object) =>
    treeFaults(SCHEMA, { bridges: { cloud: bridge } }).map(({ key }) => key);

  test("that is enabled needs a server", () => {
    expect(faults({})).toEqual(["bridges.cloud.server"]);
    expect(faults({ enable: false })).toEqual([]);
    expect(faults({ server: "mqtts://broker.example" })).toEqual([]);
  });

  test("has its shortest delay below its longest, and certificate and key together", () => {
    const server = "mqtts://broker.example";
    expect(faults({ server, backoff_min_s: 10, backoff_max_s: 5 })).toEqual([
      "bridges.cloud.backoff_min_s",
    ]);
    expect(faults({ server, tls: { cert_file: "/cert.pem" } })).toEqual(["bridges.cloud.tls"]);
  });

  test("is not named like a member that every object has", () => {
    for (const name of ["constructor", "toString", "hasOwnProperty", "valueOf"]) {
      const [fault] = treeFaults(SCHEMA, { bridges: { [name]: { enable: false } } });
      expect(fault?.key).toBe(`bridges.${name}`);
    }
  });

  test("has rules whose required members are given", () => {
    expect(faults({ enable: false, forwards: [{ qos: 1 }] })).toEqual([
      "bridges.cloud.forwards[0].local_topic",
    ]);
  });
});

test("two users of one name are refused by the second one's key", () => {
  const users = [
    { username: "ann", password: "1" },
    { username: "bob", password: "2" },
    { username: "ann", password: "3" },
  ];
  expect(treeFaults(SCHEMA, { auth: { users } })).toMatchObject([
    { key: "auth.users[2].username", value: "ann" },
  ]);
});

describe("ACL rules", () => {
  const faults = (rule: object) => treeFaults(SCHEMA, { acl: { rules: [rule] } });

  test.each([
    ["sensors/+/state", true],
    ["@sensors/+/state", true],
    ["clients/${clientid}/#", true],
    ["users/${username}", true],
    ["a/#/b", false],
    ["a+", false],
    ["", false],
    ["@", false],
  ])("take the topic %j: %s", (topic, isValid) => {
    expect(faults({ topics: [topic] }).length === 0).toBe(isValid);
  });

  test.each([
    ["10.0.0.1", true],
    ["10.0.0.0/8", true],
    ["fe80::/10", true],
    ["::1", true],
    ["10.0.0.0/33", false],
    ["::/129", false],
    ["10.0.0", false],
    ["10.0.0.0/", false],
  ])("take the address %j: %s", (ipaddr, isValid) => {
    expect(faults({ ipaddr }).length === 0).toBe(isValid);
  });
});

test.each([
  ["::", true],
  ["0.0.0.0", true],
  ["fe80::1%eth0", true],
  ["gateway.local", true],
  ["gateway.local.", true],
  ["256.1.1.1", false],
  ["1883", false],
  ["::::", false],
  ["a..b", false],
  ["-a", false],
  ["", false],
])("a listener binds to %j: %s", (bind, isValid) => {
  expect(treeFaults(SCHEMA, { http: { bind } }).length === 0).toBe(isValid);
});

function expectIdentities({ shape }: Format<unknown>, key: string): void {
  switch (shape.kind) {
    case "list":
      if (holdsSecrets(shape)) expect(shape.identity, key).not.toBeNull();
      expectIdentities(shape.element, key);
      break;
    case "map":
      expectIdentities(shape.element, key);
      break;
    case "object":
      for (const [name, row] of allRows(shape.schema)) {
        expectIdentities(row.format, `${key}.${name}`);
      }
      break;
    case "scalar":
      break;
  }
}

/** Every key, those inside lists, maps and objects too. */
function allRows(schema: SchemaTree, prefix = ""): [string, KeyRow<unknown>][] {
  return Object.entries(schema).flatMap(([name, node]): [string, KeyRow<unknown>][] => {
    const key = `${prefix}${name}`;
    if (!isKeyRow(node)) return allRows(node, `${key}.`);
    return [[key, node], ...inside(node.format, key)];
  });
}

function inside({ shape }: Format<unknown>, key: string): [string, KeyRow<unknown>][] {
  if (shape.kind === "object") return allRows(shape.schema, `${key}.`);
  return shape.kind === "scalar" ? [] : inside(shape.element, key);
}
