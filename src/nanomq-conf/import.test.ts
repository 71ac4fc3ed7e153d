import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Config, checkValues } from "../config/index.ts";
import { HoconError } from "../hocon/index.ts";
import { type Imported, importNanomq, includeFrom, readConfFiles } from "./index.ts";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), "tidegate-nanomq-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** Imports files of these names and texts, the first of which may include the others. */
function imported(texts: Readonly<Record<string, string>>, named = Object.keys(texts)): Imported {
  for (const [name, text] of Object.entries(texts)) writeFileSync(path.join(folder, name), text);
  const files = named.map((name) => path.join(folder, name));
  return importNanomq(readConfFiles(files), includeFrom(files));
}

function expectValid({ values }: Imported): void {
  expect(checkValues(values, "test").map((err) => err.message)).toEqual([]);
}

const OLD = `
# up to 0.8
url=broker+tcp://0.0.0.0:1884
daemon=no
num_taskq_thread=4
property_size=32
max_packet_size=10
msq_len=64
qos_duration=60
allow_anonymous=yes
tls.enable=true
tls.url=tls+nmq-tcp://0.0.0.0:8884
tls.key_password=geheim
tls.keyfile=/etc/certs/key.pem
tls.certfile=/etc/certs/cert.pem
tls.cacertfile=/etc/certs/cacert.pem
tls.verify_peer=true
tls.fail_if_no_peer_cert=true
websocket.enable=true
websocket.url=nmq-ws://[::1]:8085/mqtt
http_server.enable=true
http_server.port=8082
http_server.username=boss
http_server.password=p w
http_server.auth_type=basic
`;
const OLD_BRIDGE = `
bridge.mqtt.bridge_mode=true
bridge.mqtt.address = mqtt-tcp://broker.example:1883
bridge.mqtt.proto_ver=4
bridge.mqtt.clientid=bridge_client
bridge.mqtt.clean_start=true
bridge.mqtt.username=u
bridge.mqtt.password=p
bridge.mqtt.keepalive=60
bridge.mqtt.parallel=2
bridge.mqtt.forwards=topic1/#, topic2/#
bridge.mqtt.subscription.1.topic=cmd/topic1
bridge.mqtt.subscription.1.qos=1
bridge.mqtt.subscription.2.topic=cmd/topic2
bridge.mqtt.subscription.2.qos=2
`;
const OLD_USERS =
  "auth.1.login=one\nauth.1.password=first\nauth.2.login=two\nauth.2.password=second\n";

describe("key=value, one bridge (up to 0.8)", () => {
  it("becomes canonical keys out of several files; what has no equal is named", () => {
    const result = imported({
      "nanomq.conf": OLD,
      "nanomq_bridge.conf": OLD_BRIDGE,
      "nanomq_auth_username.conf": OLD_USERS,
      "nanomq_web_hook.conf": "web.hook.enable=true\nweb.hook.url=http://127.0.0.1:80\n",
    });
    expectValid(result);
    expect(result.values).toEqual({
      listeners: {
        tcp: { bind: "0.0.0.0", port: 1884 },
        tls: { enable: true, bind: "0.0.0.0", port: 8884 },
        ws: { enable: true, bind: "::1", port: 8085, path: "/mqtt" },
        wss: { enable: false },
      },
      tls: {
        key_password: "geheim",
        key_file: "/etc/certs/key.pem",
        cert_file: "/etc/certs/cert.pem",
        ca_file: "/etc/certs/cacert.pem",
        verify_peer: true,
        fail_if_no_peer_cert: true,
      },
      bridges: {
        default: {
          enable: true,
          server: "mqtt-tcp://broker.example:1883",
          proto_ver: 4,
          clientid: "bridge_client",
          clean_start: true,
          username: "u",
          password: "p",
          keepalive_s: 60,
          forwards: [{ local_topic: "topic1/#" }, { local_topic: "topic2/#" }],
          subscription: [
            { remote_topic: "cmd/topic1", qos: 1 },
            { remote_topic: "cmd/topic2", qos: 2 },
          ],
        },
      },
      nanomq: { daemon: false, num_taskq_thread: 4, property_size: 32, qos_duration: 60 },
      msq_len: 64,
      mqtt: { max_packet_size_bytes: 10_240, client_max_packet_size_bytes: 10_240 },
      auth: {
        allow_anonymous: true,
        users: [
          { username: "one", password: "first" },
          { username: "two", password: "second" },
        ],
      },
      http: { enable: true, port: 8082, username: "boss", password: "p w", auth_type: "basic" },
    });
    expect(result.left).toEqual(["bridge.mqtt.parallel", "web.hook.enable", "web.hook.url"]);
  });
});

describe("key=value, several bridges (0.9, --old_conf)", () => {
  it("becomes a bridge for each, with rules by number, TLS, users and access rules", () => {
    const result = imported({
      "nanomq_old.conf": `
url=nmq-tcp://0.0.0.0:1883
keepalive_backoff=1250
acl_enable=true
acl_nomatch=deny
acl_deny_action=disconnect
acl.rule.1={"permit": "allow", "username": "dashboard", "action": "subscribe", "topics": ["$SYS/#"]}
acl.rule.2={"permit": "deny", "action": "pubsub", "topics": ["#"], "ipaddrs": ["10.0.0.1"]}
log.level=warn
bridge.mqtt.emqx.bridge_mode=true
bridge.mqtt.emqx.address=mqtt-tcp://one.example:8883
bridge.mqtt.emqx.backoff_max=90
bridge.mqtt.emqx.retry_qos0=false
bridge.mqtt.emqx.max_send_queue_len=256
bridge.mqtt.emqx.forwards.1.local_topic=a/#
bridge.mqtt.emqx.forwards.1.remote_topic=up/a/#
bridge.mqtt.emqx.forwards.1.retain=1
bridge.mqtt.emqx.subscription.1.remote_topic=down/#
bridge.mqtt.emqx.subscription.1.local_topic=
bridge.mqtt.emqx.subscription.1.qos=2
bridge.mqtt.emqx.subscription.1.retain_handling=1
bridge.mqtt.emqx.tls.enable=true
bridge.mqtt.emqx.tls.cacertfile=/etc/ca.pem
bridge.mqtt.second.host=two.example
bridge.mqtt.second.port=1999
bridge.mqtt.third.bridge_mode=true
bridge.mqtt.third.address=mqtt-quic://three.example:14567
`,
    });
    expectValid(result);
    expect(result.values).toMatchObject({
      mqtt: { keepalive_multiplier: 1250 },
      log: { level: "warn" },
      acl: {
        no_match: "deny",
        deny_action: "disconnect",
        rules: [
          { permit: "allow", username: "dashboard", action: "subscribe", topics: ["$SYS/#"] },
        ],
      },
      bridges: {
        emqx: {
          enable: true,
          server: "tls+mqtt-tcp://one.example:8883",
          backoff_max_s: 90,
          store_qos0: false,
          outbox_max_messages: 256,
          tls: { ca_file: "/etc/ca.pem" },
          forwards: [{ local_topic: "a/#", remote_topic: "up/a/#", retain: true }],
          subscription: [{ remote_topic: "down/#", local_topic: "", qos: 2 }],
        },
        second: { enable: true, server: "mqtt-tcp://two.example:1999" },
        third: { enable: false },
      },
    });
    expect(result.notes.join("\n")).toMatch(/acl\.rule\.2: ipaddrs has no equal here/);
    expect(result.notes.join("\n")).toMatch(/third\.address: .*cannot be reached from here/);
    expect(result.notes.join("\n")).toMatch(/retain_handling: not taken over/);
    expect(result.notes.join("\n")).toMatch(/certificate is verified here/);
  });
});

describe("HOCON with a list of bridges (0.14)", () => {
  it("becomes a bridge for each node", () => {
    const result = imported({
      "nanomq.conf": `
bridges.mqtt {
  nodes = [
    {
      name = emqx
      enable = true
      parallel = 2
      connector {
        server = "mqtt-tcp://one.example:1883"
        proto_ver = 5
        keepalive = 60s
        ssl { enable = false }
      }
      forwards = ["a/#", "b/#"]
      subscription = [ { topic = "cmd/#", qos = 1 } ]
    }
    { name = "off", enable = false, connector.server = "mqtt-tcp://two.example:1883" }
  ]
}
authorization { sources = [ { type = simple } ] }
`,
    });
    expectValid(result);
    expect(result.values["bridges"]).toEqual({
      emqx: {
        enable: true,
        server: "mqtt-tcp://one.example:1883",
        proto_ver: 5,
        keepalive_s: 60,
        forwards: [{ local_topic: "a/#" }, { local_topic: "b/#" }],
        subscription: [{ remote_topic: "cmd/#", qos: 1 }],
      },
      off: { enable: false, server: "mqtt-tcp://two.example:1883" },
    });
    expect(result.left).toEqual(["authorization.sources"]);
    expect(result.notes).toContain("bridges.mqtt.nodes[0].parallel: not taken over");
  });
});

describe("HOCON by name (0.19 and later)", () => {
  const MAIN = `
system { num_taskq_thread = 0, daemon = false }
mqtt {
  property_size = 32
  max_packet_size = 2MB        # of each client
  max_mqueue_len = 2048
  retry_interval = 1m
  keepalive_multiplier = 1.25
}
listeners.tcp { bind = "0.0.0.0:1883", factory { bind = "*:1999" } }
listeners.ws { bind = "0.0.0.0:8083/mqtt" }
http_server { port = 8081, username = admin, password = public, auth_type = no_auth }
log { to = [file, console], level = debug }
auth {
  allow_anonymous = false
  no_match = allow
  cache { max_size = 16, ttl = 2m }
  password = { include "/etc/nanomq_pwd.conf" }
  acl = { include "/etc/nanomq_acl.conf" }
}
include "nanomq_bridge.conf"
`;
  const BRIDGE = `
bridges.mqtt { "site a" {
  server = "mqtt-tcp://one.example:8883"
  ssl { cacertfile = "/etc/ca.pem", certfile = "/etc/c.pem", keyfile = "/etc/k.pem" }
  hybrid_bridging = true
  hybrid_servers = ["mqtt-tcp://two.example:1883", "mqtt-quic://three.example:14567"]
  forwards = [
    { local_topic = "plant/+/#", remote_topic = "+/#", qos = 1, retain = 2, prefix = "px/" }
    { remote_topic = "nothing" }
  ]
  will { topic = "gone", payload = "x" }
} }
bridges.mqtt.cache { disk_cache_size = 102400 }
`;

  it("becomes canonical keys with what it includes; blocks that are absent are off", () => {
    const result = imported(
      {
        "nanomq.conf": MAIN,
        "nanomq_bridge.conf": BRIDGE,
        "nanomq_pwd.conf": '"one": "first"\n"two@x": "second"\n',
        "nanomq_acl.conf": 'rules = [ {"permit": "deny", "username": "x", "topics": ["a/#"]} ]\n',
      },
      ["nanomq.conf"],
    );
    expectValid(result);
    expect(result.values).toEqual({
      listeners: {
        tcp: { enable: true, bind: "0.0.0.0", port: 1883 },
        tls: { enable: false },
        ws: { enable: true, bind: "0.0.0.0", port: 8083, path: "/mqtt" },
        wss: { enable: false },
      },
      extra_listeners: { "tcp:factory": { enable: true, bind: "::", port: 1999 } },
      bridges: {
        site_a: {
          enable: true,
          server: "tls+mqtt-tcp://one.example:8883",
          servers: ["mqtt-tcp://two.example:1883"],
          tls: { ca_file: "/etc/ca.pem", cert_file: "/etc/c.pem", key_file: "/etc/k.pem" },
          forwards: [{ local_topic: "plant/+/#", remote_topic: "+/#", qos: 1, prefix: "px/" }],
        },
      },
      nanomq: { daemon: false, num_taskq_thread: 0, property_size: 32, qos_duration: 60 },
      msq_len: 2048,
      mqtt: {
        keepalive_multiplier: 1250,
        max_packet_size_bytes: 2_097_152,
        client_max_packet_size_bytes: 2_097_152,
      },
      auth: {
        allow_anonymous: false,
        users: [
          { username: "one", password: "first" },
          { username: "two@x", password: "second" },
        ],
      },
      acl: {
        no_match: "allow",
        cache: { max_size: 16, ttl_s: 120 },
        rules: [{ permit: "deny", username: "x", topics: ["a/#"] }],
      },
      http: { port: 8081, username: "admin", password: "public" },
      log: { level: "debug" },
    });
    expect(result.left).toEqual([
      "log.to",
      "bridges.mqtt.site a.will.topic",
      "bridges.mqtt.site a.will.payload",
      "bridges.mqtt.cache.disk_cache_size",
    ]);
    expect(result.notes.join("\n")).toMatch(/forwards\[1\]: names no local_topic/);
    expect(result.notes.join("\n")).toMatch(/auth_type: "no_auth" is not understood/);
  });

  it("a file that includes itself, one that is missing, and a syntax error are told", () => {
    expect(() => imported({ "a.conf": 'x { y = 1 }\ninclude "a.conf"' })).toThrow(
      /includes itself/,
    );
    expect(() => imported({ "b.conf": 'x { y = 1 }\ninclude "none.conf"' })).toThrow(/none\.conf/);
    expect(() => imported({ "c.conf": "x { y = 1\nz = [" })).toThrow(/c\.conf: line 2/);
  });
});

it("no text breaks it, and no secret comes back in a note", () => {
  const word = fc.constantFrom(
    ...[
      "bridge",
      "mqtt",
      "bridges",
      "auth",
      "1",
      "password",
      "forwards",
      "listeners",
      "tcp",
      "ssl",
    ],
    ...[
      "bind",
      "url",
      "acl",
      "rule",
      "__proto__",
      "constructor",
      "enable",
      "nodes",
      "tls",
      "server",
    ],
  );
  const sign = fc.constantFrom("=", ".", "{", "}", "[", "]", "\n", ",", " ", '"', "0x", "geheim");
  fc.assert(
    fc.property(fc.array(fc.oneof(word, sign), { maxLength: 60 }), (pieces) => {
      try {
        importNanomq([{ name: "x", text: pieces.join("") }], () => ({}));
      } catch (err) {
        expect(err).toBeInstanceOf(HoconError);
      }
    }),
    { numRuns: 2000 },
  );
  const polluted: Partial<Config> & { polluted?: unknown } = {};
  expect(polluted.polluted).toBeUndefined();
});
