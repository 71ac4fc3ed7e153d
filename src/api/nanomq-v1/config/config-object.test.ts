import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { treeFaults } from "../../../config/collections.ts";
import { type Config, SCHEMA } from "../../../config/index.ts";
import { configWith } from "../../../services/configuration/memory-config-store.testing.ts";
import { memberNameOf, readChange, showConfig } from "./config-object.ts";
import { parseListenerUrl } from "./listener-url.ts";

const NO_PEMS = { cert: null, ca: null };

function change(data: Record<string, unknown>, stored: Config = configWith(), pems = NO_PEMS) {
  return readChange(data, stored, pems);
}

/** What `data` makes of the default configuration, at one canonical key. */
function patched(data: Record<string, unknown>, stored?: Config): unknown {
  return change(data, stored).patch;
}

describe("listener URLs (reference §2.8)", () => {
  test.each([
    ["tcp", "nmq-tcp://0.0.0.0:1883", "0.0.0.0", 1883, null],
    ["tcp", "broker+tcp://127.0.0.1:1884", "127.0.0.1", 1884, null],
    ["tcp", "mqtt://gateway.local:1883", "gateway.local", 1883, null],
    ["tcp", "tcp://*:1883", "::", 1883, null],
    ["tcp", "NMQ-TCP://[::1]:1883", "::1", 1883, null],
    ["tcp", "nmq-tcp://[fe80::1%eth0]:1883", "fe80::1%eth0", 1883, null],
    ["tls", "tls+nmq-tcp://0.0.0.0:8883", "0.0.0.0", 8883, null],
    ["tls", "mqtts://[::]:8883", "::", 8883, null],
    ["tls", "ssl://0.0.0.0:8883", "0.0.0.0", 8883, null],
    ["ws", "nmq-ws://0.0.0.0:8083/mqtt", "0.0.0.0", 8083, "/mqtt"],
    ["ws", "nmq+ws://0.0.0.0:8083", "0.0.0.0", 8083, null],
    ["ws", "ws://0.0.0.0:8083/a/b", "0.0.0.0", 8083, "/a/b"],
    ["wss", "nmq-wss://0.0.0.0:8084/mqtt", "0.0.0.0", 8084, "/mqtt"],
    ["wss", "nmq+wss://0.0.0.0:8084/mqtt", "0.0.0.0", 8084, "/mqtt"],
    ["wss", "wss://0.0.0.0:8084/mqtt", "0.0.0.0", 8084, "/mqtt"],
  ] as const)("%s: %s", (listener, url, bind, tcpPort, path) => {
    expect(parseListenerUrl(listener, url)).toEqual({ bind, tcpPort, path });
  });

  test.each([
    ["no port", "nmq-tcp://0.0.0.0"],
    ["an empty port", "nmq-tcp://0.0.0.0:"],
    ["a scheme of another listener", "nmq-ws://0.0.0.0:1883"],
    ["an unknown scheme", "http://0.0.0.0:1883"],
    ["a path where none belongs", "nmq-tcp://0.0.0.0:1883/mqtt"],
    ["an IPv6 address without brackets", "nmq-tcp://::1:1883"],
    ["a broken IPv6 address", "nmq-tcp://[:::]:1883"],
    ["credentials", "nmq-tcp://u:p@host:1883"],
    ["no host", "nmq-tcp://:1883"],
    ["garbage", "garbage"],
    ["nothing", ""],
  ])("%s is refused", (_, url) => {
    expect(() => change({ url })).toThrow(/^url: /);
  });

  test.each(["nmq-tcp://h:65536", "nmq-tcp://h:99999"])("port out of range: %s", (url) => {
    expect(() => change({ url })).toThrow(/^url: /);
  });

  test("a WebSocket without a path is at /mqtt", () => {
    const stored = configWith({ listeners: { ws: { path: "/other" } } });
    const data = { websocket: { url: "ws://0.0.0.0:8083" } };
    expect(patched(data, stored)).toEqual({
      listeners: { ws: { bind: "0.0.0.0", port: 8083, path: "/mqtt" } },
    });
  });
});

describe("from NanoMQ's object to canonical keys", () => {
  test.each([
    [{ num_taskq_thread: 10 }, { nanomq: { num_taskq_thread: 10 } }],
    [{ parallel: 10 }, { nanomq: { parallel: 10 } }],
    [{ property_size: 64 }, { nanomq: { property_size: 64 } }],
    [{ msq_len: 64 }, { msq_len: 64 }],
    [{ qos_duration: 60 }, { nanomq: { qos_duration: 60 } }],
    [{ allow_anonymous: true }, { auth: { allow_anonymous: true } }],
    [{ daemon: true }, { nanomq: { daemon: true } }],
    [{ max_packet_size: 2 }, { mqtt: { max_packet_size_bytes: 2048 } }],
    [{ tls: { verify_peer: true } }, { tls: { verify_peer: true } }],
    [{ tls: { enable: true } }, { listeners: { tls: { enable: true }, wss: { enable: true } } }],
    [{ tls: { key_password: "x" } }, { tls: { key_password: "x" } }],
    [{ tls: { keypass: "x" } }, { tls: { key_password: "x" } }],
    [{ tls: { keypass: "x", key_password: "x" } }, { tls: { key_password: "x" } }],
    [{ tls: { keypass: "x", key_password: null } }, { tls: { key_password: "x" } }],
    [{ websocket: { enable: false } }, { listeners: { ws: { enable: false } } }],
    [{ http_server: { port: 9000 } }, { http: { port: 9000 } }],
    [{ http_server: { enable: false } }, { http: { enable: false } }],
    [{ http_server: { auth_type: "jwt" } }, { http: { auth_type: "jwt" } }],
    [{ http_server: { password: "new" } }, { http: { password: "new" } }],
    [{ unknown: 1, tls: { other: 2 }, bridge: { x: 3 } }, {}],
    [{}, {}],
  ])("%j", (data, patch) => {
    expect(patched(data)).toEqual(patch);
  });

  test("port 0 of the API is NanoMQ's word for 8081", () => {
    const stored = configWith({ http: { port: 9000 } });
    expect(patched({ http_server: { port: 0 } }, stored)).toEqual({ http: { port: 8081 } });
  });

  test.each([
    ["num_taskq_thread", { num_taskq_thread: "4" }],
    ["num_taskq_thread", { num_taskq_thread: 256 }],
    ["parallel", { parallel: 0 }],
    ["msq_len", { msq_len: 1.5 }],
    ["allow_anonymous", { allow_anonymous: "true" }],
    ["max_packet_size", { max_packet_size: 0.5 }],
    ["max_packet_size", { max_packet_size: 266_240 }],
    ["tls.enable", { tls: { enable: 1 } }],
    ["tls.cert", { tls: { cert: 5 } }],
    ["tls.keypass", { tls: { key_password: "a", keypass: "b" } }],
    ["tls.ca", { tls: { cacert: "a", ca: "b" } }],
    ["http_server.port", { http_server: { port: 70_000 } }],
    ["http_server.username", { http_server: { username: "" } }],
    ["http_server.auth_type", { http_server: { auth_type: "none" } }],
    ["websocket", { websocket: [] }],
    ["bridge.proto_ver", { bridge: { proto_ver: 6 } }],
    ["bridge.proto_ver", { bridge: { proto_ver: "four" } }],
    ["bridge.address", { bridge: { address: "garbage" } }],
    ["bridge.address", { bridge: { address: "mqtt-quic://h:14567" } }],
    ["bridge.address", { bridge: { bridge_mode: true } }],
    ["bridge.keepalive", { bridge: { keepalive: -1 } }],
    ["bridge.parallel", { bridge: { parallel: 0 } }],
    ["bridge.forwards", { bridge: { forwards: "a,b" } }],
    ["bridge.forwards[1]", { bridge: { forwards: ["a", 5] } }],
    ["bridge.forwards[0].local_topic", { bridge: { forwards: ["a/#/b"] } }],
    ["bridge.forwards[0].qos", { bridge: { forwards: [{ local_topic: "a", qos: 3 }] } }],
    ["bridge.subscription[0]", { bridge: { subscription: ["cmd"] } }],
    ["bridge.subscription[0].qos", { bridge: { subscription: [{ topic: "a", qos: 9 }] } }],
  ])("a fault is named in NanoMQ's words: %s", (field, data) => {
    expect(() => change(data)).toThrow(
      expect.objectContaining({
        code: "PARAMETER_INVALID",
        details: expect.objectContaining({ field }),
      }),
    );
  });

  test("a refused secret is not repeated in the message", () => {
    const password = "geheim\u0007";
    for (const data of [
      { http_server: { password } },
      { bridge: { password } },
      { tls: { key_password: password } },
      { tls: { key: { password } } },
      { tls: { key_password: `a${password}`, keypass: password } },
    ]) {
      expect(() => change(data)).toThrow(/\*{6}/);
      expect(() => change(data)).not.toThrow(/geheim/);
    }
  });

  test("PEM texts come apart from the keys, null leaves them, nothing removes them", () => {
    const stored = configWith({ tls: { key_file: "/k", cert_file: "/c", ca_file: "/a" } });
    const pems = { cert: "CERT", ca: "CA" };
    const read = (tls: object) => readChange({ tls }, stored, pems);
    expect(read({ key: "K", cert: "C", cacert: "A" })).toEqual({
      patch: {},
      pems: { key: "K", cert: "C", ca: "A" },
    });
    expect(read({ ca: "A" }).pems).toEqual({ ca: "A" });
    expect(read({ key: null, cert: null, cacert: null, key_password: null })).toEqual({
      patch: {},
      pems: {},
    });
    expect(read({ key: "******", cert: "CERT", cacert: "CA" })).toEqual({ patch: {}, pems: {} });
    expect(read({ key: "", cert: "", cacert: "" }).patch).toEqual({
      tls: { key_file: null, cert_file: null, ca_file: null },
    });
  });
});

describe("the bridge", () => {
  const server = "mqtt-tcp://broker.emqx.io:1883";
  const base = { address: server, bridge_mode: true };

  test("V1's bridge becomes the one named default, the missing members its defaults", () => {
    const data = {
      bridge: {
        ...base,
        proto_ver: "5",
        clientid: "",
        clean_start: true,
        username: "u",
        password: "p",
        keepalive: 30,
        parallel: 2,
        forwards: ["topic1/#", { local_topic: "a", remote_topic: "b", qos: 1, retain: 0 }],
        subscription: [
          { topic: "cmd/1", qos: 2 },
          { remote_topic: "x", local_topic: "y" },
        ],
      },
    };
    expect(patched(data)).toMatchObject({
      bridges: {
        default: {
          enable: true,
          server,
          proto_ver: 5,
          clientid: null,
          clean_start: true,
          username: "u",
          password: "p",
          keepalive_s: 30,
          max_inflight: 2,
          outbox_max_messages: 1_000_000,
          forwards: [
            { local_topic: "topic1/#", remote_topic: "", qos: null, retain: null },
            { local_topic: "a", remote_topic: "b", qos: 1, retain: false },
          ],
          subscription: [
            { remote_topic: "cmd/1", local_topic: "", qos: 2 },
            { remote_topic: "x", local_topic: "y", qos: 1 },
          ],
        },
      },
    });
  });

  test("a partial bridge keeps its other members, lists can be emptied", () => {
    const stored = configWith({
      bridges: {
        default: { server, password: "p", forwards: [{ local_topic: "a,b" }], backoff_max_s: 7 },
      },
    });
    const data = { bridge: { forwards: [], bridge_mode: false } };
    expect(patched(data, stored)).toMatchObject({
      bridges: {
        default: { enable: false, server, password: "p", forwards: [], backoff_max_s: 7 },
      },
    });
  });

  test("null clears what may be unset", () => {
    const stored = configWith({
      bridges: { default: { server, username: "u", password: "p", clientid: "c" } },
    });
    const data = { bridge: { username: null, password: null, clientid: null } };
    expect(patched(data, stored)).toMatchObject({
      bridges: { default: { username: null, password: null, clientid: null } },
    });
  });

  test("a masked password stays, also when another member changes", () => {
    const stored = configWith({ bridges: { default: { server, password: "p" } } });
    expect(patched({ bridge: { password: "******", keepalive: 5 } }, stored)).toMatchObject({
      bridges: { default: { password: "p", keepalive_s: 5 } },
    });
  });

  test("members from the object's prototype are none", () => {
    expect(patched(JSON.parse('{"__proto__":{"msq_len":1},"constructor":{"x":1}}'))).toEqual({});
  });
});

describe("canonical keys in NanoMQ's words", () => {
  test.each([
    ["listeners.tcp.port", "url"],
    ["listeners.tls.bind", "tls.url"],
    ["listeners.wss.port", "websocket.tls_url"],
    ["listeners.tls.enable", "tls.enable"],
    ["tls.cert_file", "tls.cert"],
    ["tls.ca_file", "tls.cacert"],
    ["http.port", "http_server.port"],
    ["bridges.default.server", "bridge.address"],
    ["bridges.default.forwards[2].local_topic", "bridge.forwards[2].local_topic"],
    ["bridges.other.server", "bridges.other.server"],
    ["limits.max_connections", "limits.max_connections"],
  ])("%s is %s", (key, name) => {
    expect(memberNameOf(key)).toBe(name);
  });
});

const word = fc.stringMatching(/^[a-z0-9]{1,8}$/);
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null });
const host = fc.constantFrom("::", "0.0.0.0", "127.0.0.1", "::1", "fe80::1%eth0", "gw.local");
const port = fc.integer({ min: 0, max: 65_535 });
const path = fc.constantFrom("/mqtt", "/", "/a/b-c", "/ws~1");
const filter = fc.constantFrom("a", "a/#", "+/b", "#", "x,y", "ä/ö", " ", "$SYS/x");
const overrides = {
  retain: maybe(fc.boolean()),
  prefix: fc.constantFrom("", "p/"),
  suffix: fc.constantFrom("", "/s"),
};
const target = fc.constantFrom("", "up/x", "#");
const secret = maybe(fc.constantFrom("", "public", "p ä", "scrypt$x"));

const validConfig = fc
  .record({
    listeners: fc.record({
      tcp: fc.record({ enable: fc.boolean(), bind: host, port }),
      tls: fc.record({ enable: fc.boolean(), bind: host, port }),
      ws: fc.record({ enable: fc.boolean(), bind: host, port, path }),
      wss: fc.record({ enable: fc.boolean(), bind: host, port, path }),
    }),
    tls: fc.record({
      key_file: maybe(word),
      cert_file: maybe(word),
      ca_file: maybe(word),
      key_password: secret,
      verify_peer: fc.boolean(),
      fail_if_no_peer_cert: fc.boolean(),
    }),
    mqtt: fc.record({
      max_packet_size_bytes: fc.integer({ min: 1024, max: 268_435_455 }),
      client_max_packet_size_bytes: fc.integer({ min: 1024, max: 268_435_455 }),
    }),
    msq_len: fc.integer({ min: 1, max: 1_000_000 }),
    auth: fc.record({ allow_anonymous: fc.boolean() }),
    http: fc.record({
      enable: fc.boolean(),
      bind: host,
      port,
      username: word,
      password: secret,
      auth_type: fc.constantFrom("basic", "jwt"),
    }),
    nanomq: fc.record({
      num_taskq_thread: fc.integer({ min: 0, max: 255 }),
      max_taskq_thread: fc.integer({ min: 0, max: 255 }),
      parallel: fc.integer({ min: 1, max: 100_000 }),
      property_size: fc.integer({ min: 1, max: 65_535 }),
      qos_duration: fc.integer({ min: 1, max: 65_535 }),
      daemon: fc.boolean(),
    }),
    bridges: fc.dictionary(
      fc.constantFrom("default", "other"),
      fc.record({
        enable: fc.boolean(),
        server: fc.constantFrom("mqtt://h:1", "mqtt-tcp://broker.emqx.io:1883", "wss://h/mqtt"),
        proto_ver: fc.constantFrom(3, 4, 5),
        clientid: maybe(word),
        clean_start: fc.boolean(),
        username: maybe(fc.constantFrom("", "u")),
        password: secret,
        keepalive_s: fc.integer({ min: 0, max: 65_535 }),
        max_inflight: fc.integer({ min: 1, max: 65_535 }),
        forwards: fc.array(
          fc.record({
            local_topic: filter,
            remote_topic: target,
            qos: maybe(fc.constantFrom(0, 1, 2)),
            ...overrides,
          }),
          { maxLength: 4 },
        ),
        subscription: fc.array(
          fc.record({
            remote_topic: filter,
            local_topic: target,
            qos: fc.constantFrom(0, 1, 2),
            ...overrides,
          }),
          { maxLength: 4 },
        ),
      }),
    ),
  })
  .map((patch) => {
    expect(treeFaults(SCHEMA, patch)).toEqual([]);
    return configWith(patch);
  });

const pemTexts = fc.record({ cert: maybe(word), ca: maybe(word) });

/** The configuration as it arrives at a client and comes back. */
const overTheWire = (value: unknown): Record<string, unknown> => JSON.parse(JSON.stringify(value));

describe("round trips", () => {
  test("what 11 shows, sent back on 12, changes nothing", () => {
    fc.assert(
      fc.property(validConfig, pemTexts, (config, pems) => {
        const shown = overTheWire(showConfig(config, pems));
        expect(readChange(shown, config, pems)).toEqual({ patch: {}, pems: {} });
      }),
    );
  });

  test("a member shown by one configuration and set on another is shown by it too", () => {
    const untold = new Set(["http_server", "max_packet_size", "client_max_packet_size"]);
    fc.assert(
      fc.property(validConfig, validConfig, (from, onto) => {
        const shown = overTheWire(showConfig(from, NO_PEMS));
        const { patch } = readChange(shown, onto, NO_PEMS);
        const base = { ...onto, bridges: { ...onto.bridges } };
        const after = overTheWire(showConfig(configWith(merged(base, patch)), NO_PEMS));
        for (const [name, value] of Object.entries(shown)) {
          if (!untold.has(name)) expect(after[name]).toEqual(shownAs(value, after[name]));
        }
      }),
    );
  });

  test("no secret is ever shown", () => {
    const config = configWith({
      http: { password: "s3cret" },
      tls: { key_password: "s3cret", key_file: "/etc/s3cret.key" },
      bridges: { default: { server: "mqtt://h", password: "s3cret" } },
    });
    expect(JSON.stringify(showConfig(config, NO_PEMS))).not.toContain("s3cret");
  });
});

function merged(base: unknown, patch: unknown): Record<string, unknown> {
  const result: Record<string, unknown> = { ...(base as object) };
  for (const [name, value] of Object.entries(patch as object)) {
    const isTree = typeof value === "object" && value !== null && !Array.isArray(value);
    result[name] = isTree ? merged(result[name], value) : value;
  }
  return result;
}

/** Secrets and key material are masked, so they show nothing of what was set. */
function shownAs(value: unknown, after: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const secrets = ["password", "key_password", "key", "cert", "cacert"];
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      secrets.includes(name) ? (after as Record<string, unknown>)[name] : inner,
    ]),
  );
}
