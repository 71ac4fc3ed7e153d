import convict from "convict";
import { describe, expect, test } from "vitest";
import { messageOf } from "./config.testing.ts";
import { type Layers, mergeLayers, NO_LAYERS, withoutEmpty } from "./layers.ts";

const merge = (layers: Partial<Layers>) => mergeLayers({ ...NO_LAYERS, ...layers });

const bridge = (server: string) => ({ server });

describe("merging", () => {
  test("each layer beats the ones below it, key by key", () => {
    const config = merge({
      operator: {
        msq_len: 1,
        listeners: { tcp: { port: 1, bind: "127.0.0.1" } },
        mqtt: { max_topic_levels: 1 },
        http: { port: 1 },
      },
      current: {
        listeners: { tcp: { port: 2 } },
        mqtt: { max_topic_levels: 2 },
        http: { port: 2 },
      },
      variables: new Map([
        ["TIDEGATE_MQTT_MAX_TOPIC_LEVELS", "3"],
        ["TIDEGATE_HTTP_PORT", "3"],
      ]),
      options: new Map([["http.port", "4"]]),
    });
    expect(config.limits.max_connections).toBe(10_000);
    expect(config.msq_len).toBe(1);
    expect(config.listeners.tcp).toMatchObject({ port: 2, bind: "127.0.0.1", enable: true });
    expect(config.mqtt.max_topic_levels).toBe(3);
    expect(config.http.port).toBe(4);
  });

  test("a list replaces the list below it", () => {
    const users = (name: string) => ({ auth: { users: [{ username: name, password: "x" }] } });
    const config = merge({ operator: users("a"), current: users("b") });
    expect(config.auth.users).toEqual([{ username: "b", password: "x" }]);
  });

  test("a map is merged by members, a member replaces the one below it, null takes it away", () => {
    const config = merge({
      operator: {
        bridges: {
          kept: bridge("mqtt://kept"),
          replaced: { ...bridge("mqtt://old"), keepalive_s: 5 },
          removed: bridge("mqtt://removed"),
        },
      },
      current: {
        bridges: { replaced: bridge("mqtt://new"), removed: null, added: bridge("mqtt://added") },
      },
    });
    const servers = Object.entries(config.bridges).map(([name, { server }]) => [name, server]);
    expect(Object.fromEntries(servers)).toEqual({
      kept: "mqtt://kept",
      replaced: "mqtt://new",
      added: "mqtt://added",
    });
    expect(config.bridges["replaced"]?.keepalive_s).toBe(60);
  });

  test("an environment variable replaces a map as a whole", () => {
    const config = merge({
      operator: { bridges: { a: bridge("mqtt://a") } },
      current: { bridges: { a: null, b: bridge("mqtt://b") } },
      variables: new Map([["TIDEGATE_BRIDGES", '{"a":{"server":"mqtt://env"}}']]),
    });
    expect(Object.keys(config.bridges)).toEqual(["a"]);
    expect(config.bridges["a"]?.server).toBe("mqtt://env");
  });

  test("an empty variable is null where null is allowed", () => {
    const variables = new Map([
      ["TIDEGATE_HTTP_EMQX_PORT", ""],
      ["TIDEGATE_TLS_KEY_FILE", "null"],
    ]);
    const config = merge({ operator: { tls: { key_file: "/key.pem" } }, variables });
    expect(config.http.emqx_port).toBeNull();
    expect(config.tls.key_file).toBeNull();
  });

  test("texts of files are not read as numbers, truth values or null", () => {
    const users = ["null", "true", "17", ""].map((password, index) => ({
      username: `${index}`,
      password,
    }));
    const config = merge({ operator: { auth: { users }, http: { password: "null" } } });
    expect(config.auth.users.map(({ password }) => password)).toEqual(["null", "true", "17", ""]);
    expect(config.http.password).toBe("null");
  });

  test("the result is frozen to its leaves and shares nothing with the layers or the defaults", () => {
    const operator = {
      auth: { users: [{ username: "a", password: "x" }] },
      bridges: { a: bridge("mqtt://a") },
    };
    const config = merge({ operator });
    expect(Object.isFrozen(config.listeners.tcp)).toBe(true);
    expect(Object.isFrozen(config.auth.users[0])).toBe(true);
    expect(Object.isFrozen(config.bridges["a"]?.tls)).toBe(true);
    expect(Object.isFrozen(operator.auth.users)).toBe(false);
    expect(Object.isFrozen(operator.bridges.a)).toBe(false);
    expect(merge({})).toEqual(merge({}));
  });

  test("a map has only the members that were configured", () => {
    const config = merge({});
    expect(config.bridges["constructor"]).toBeUndefined();
    expect(config.bridges["toString"]).toBeUndefined();
  });

  test("what is wrong only with the layers together is refused", async () => {
    const many = (prefix: string) => ({
      bridges: Object.fromEntries(
        Array.from({ length: 40 }, (_, n) => [`${prefix}${n}`, bridge("mqtt://h")]),
      ),
    });
    expect(await messageOf(() => merge({ operator: many("a"), current: many("b") }))).toContain(
      "CONFIG_VALUE_INVALID bridges: 80 members is not valid in the merged configuration",
    );
  });
});

test("groups, lists and maps with nothing under them are as if they were not there", () => {
  const values = {
    log: null,
    listeners: { tcp: null },
    bridges: null,
    auth: { users: null },
    tls: { key_file: null },
  };
  expect(withoutEmpty(values)).toEqual({ listeners: {}, auth: {}, tls: { key_file: null } });
});

describe("convict 6.2.5", () => {
  const format = (name: string, coerce = (text: string) => text) => {
    convict.addFormat({ name, validate: () => {}, coerce });
    return name;
  };
  const open = (definition: object, env: Record<string, string> = {}) =>
    convict<Record<string, unknown>>({ ...definition }, { env, args: [] });

  test("gives coercion the instance for the environment and set, and not for loaded values", () => {
    const seen: [string, boolean][] = [];
    convict.addFormat({
      name: "test coercion",
      validate: () => {},
      coerce: (text: string, instance?: unknown) => {
        seen.push([text, instance !== undefined]);
        return text;
      },
    });
    const config = open(
      { k: { format: "test coercion", default: "default", env: "K" } },
      { K: "env" },
    );
    seen.length = 0;
    config.load({ k: "loaded" });
    config.set("k", "set");
    expect(seen).toEqual([
      ["loaded", false],
      ["env", true],
      ["set", true],
    ]);
    expect(config.get("k")).toBe("set");
  });

  test("takes members of a key only with the format name `object`, and by reference", () => {
    const member = { deep: { er: 1 } };
    const asObject = open({ k: { format: format("object"), default: {} } });
    asObject.load({ k: { member } });
    member.deep.er = 2;
    expect(asObject.get("k")).toEqual({ member: { deep: { er: 2 } } });
    expect(asObject.get("k")).not.toBe(asObject.get("k"));

    const asOther = open({ k: { format: format("test map"), default: {} } });
    expect(() => asOther.load({ k: { member } })).toThrow(TypeError);
  });

  test("replaces lists", () => {
    const config = open({ k: { format: format("test list"), default: [1, 2, 3] } });
    config.load({ k: [4] });
    expect(config.get("k")).toEqual([4]);
  });

  test("drops `__proto__` silently and lets other names of Object.prototype through", () => {
    const config = open({ k: { format: format("object"), default: {} } });
    config.load(JSON.parse('{"__proto__": {"a": 1}, "k": {"constructor": {"b": 1}}}'));
    expect(config.getProperties()).toEqual({ k: { constructor: { b: 1 } } });
    expect("a" in {}).toBe(false);
  });

  test("puts values into the message of a failed validation", () => {
    convict.addFormat({
      name: "test refusal",
      validate: (value: unknown) => {
        if (value !== "fine") throw new Error("not fine");
      },
    });
    const config = open({ k: { format: "test refusal", default: "fine" } });
    config.load({ k: "geheim" });
    expect(() => config.validate({ allowed: "strict" })).toThrow('k: not fine: value was "geheim"');
  });

  test("refuses undeclared keys when it validates strictly", () => {
    const config = open({ k: { format: format("test any"), default: 1 } });
    config.load({ other: 1 });
    expect(() => config.validate({ allowed: "strict" })).toThrow("'other' not declared");
  });
});
