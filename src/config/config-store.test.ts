import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, expectTypeOf, test } from "vitest";
import { GatewayError } from "../errors/index.ts";
import { messageOf, noCheck, put, storeDeps, testGateway, textOf } from "./config.testing.ts";
import { type ConfigStore, openConfigStore } from "./config-store.ts";
import { MASK } from "./format.ts";
import { HISTORY_SIZE } from "./history.ts";
import { loadConfig } from "./load.ts";
import type { ConfigPatch } from "./patch.ts";
import { SCHEMA } from "./schema.ts";
import { masked } from "./secrets.ts";
import { beginStart } from "./start.ts";
import { parseYaml } from "./yaml-text.ts";

const OPERATOR = `
msq_len: 100
http: {port: 9000, password: clear}
auth:
  users: [{username: ann, password: p1}, {username: bob, password: p2}]
bridges:
  cloud: {server: "mqtts://cloud", password: p3}
  other: {server: "mqtts://other"}
`;

const PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

function open(operatorText = OPERATOR) {
  const gateway = testGateway(operatorText);
  const reopen = (): ConfigStore => openConfigStore(loadConfig(gateway.input), storeDeps);
  return { ...gateway, store: reopen(), reopen };
}

/** A patch as the HTTP API gives it: whatever JSON holds. */
const fromJson = (text: string): ConfigPatch => JSON.parse(text);

describe("a change", () => {
  test("writes the changed keys only, and the next start reads them", async () => {
    const { store, paths, input } = open();
    expect(await store.change({ listeners: { tcp: { port: 1884 } } }, noCheck)).toEqual([
      "listeners.tcp.port",
    ]);
    const written = parseYaml(Buffer.from(textOf(paths.current)), paths.current);
    expect(written).toEqual({ listeners: { tcp: { port: 1884 } } });
    expect(loadConfig(input).config).toEqual(store.stored());
    expect(store.stored().listeners.tcp.port).toBe(1884);
    expect(store.running.listeners.tcp.port).toBe(1883);
    expect(store.status().restartPending).toBe(true);
  });

  test("back to what the operator's file says leaves nothing of the key", async () => {
    const { store, paths } = open();
    await store.change({ http: { port: 1 }, msq_len: 5 }, noCheck);
    await store.change({ http: { port: 9000 } }, noCheck);
    expect(parseYaml(Buffer.from(textOf(paths.current)), "")).toEqual({ msq_len: 5 });
    expect(store.status().restartPending).toBe(false);
  });

  test("that changes nothing writes nothing", async () => {
    const { store, paths } = open();
    const patches = [
      {},
      { msq_len: 100 },
      { bridges: { missing: null } },
      masked(store.stored(), SCHEMA),
      { http: { password: undefined } },
    ];
    for (const patch of patches) expect(await store.change(patch, noCheck)).toEqual([]);
    expect(existsSync(paths.directory)).toBe(false);
  });

  test("keeps its files to the service: 0600 in a directory of 0700", async () => {
    const { store, paths } = open();
    await store.change({ msq_len: 7, http: { port: 1 } }, noCheck);
    await store.putPem("cert", PEM);
    for (const directory of [paths.directory, paths.history, paths.pem]) {
      expect(statSync(directory).mode & 0o777).toBe(0o700);
      for (const entry of readdirSync(directory, { withFileTypes: true })) {
        if (!entry.isFile()) continue;
        expect(statSync(join(directory, entry.name)).mode & 0o777, entry.name).toBe(0o600);
      }
    }
  });

  test("of a live key is running at once and not on trial", async () => {
    const { store, paths } = open();
    const before = store.running;
    await store.change({ msq_len: 7, auth: { allow_anonymous: true } }, noCheck);
    expect([store.running.msq_len, store.running.auth.allow_anonymous]).toEqual([7, true]);
    expect(before.msq_len).toBe(100);
    expect(Object.isFrozen(store.running)).toBe(true);
    expect(store.status().restartPending).toBe(false);
    expect(existsSync(paths.trial)).toBe(false);
  });

  test("of live and other keys puts the live ones into what runs, and only those", async () => {
    const { store } = open();
    await store.change({ msq_len: 7, http: { port: 1 } }, noCheck);
    expect([store.running.msq_len, store.running.http.port]).toEqual([7, 9000]);
  });

  test("changes, adds and removes bridges one by one", async () => {
    const { store, paths, input } = open();
    const bridges = { cloud: null, other: { server: "mqtts://new" }, third: { enable: false } };
    expect(await store.change({ bridges }, noCheck)).toEqual([
      "bridges.cloud",
      "bridges.other",
      "bridges.third",
    ]);
    expect(parseYaml(Buffer.from(textOf(paths.current)), "")).toEqual({ bridges });
    expect(Object.keys(loadConfig(input).config.bridges).sort()).toEqual(["other", "third"]);
  });

  test("leaves secrets that come back masked as they are, and hashes new passwords", async () => {
    const { store, paths } = open();
    const shown = masked(store.stored(), SCHEMA);
    await store.change(
      {
        ...shown,
        auth: { users: [...shown.auth.users, { username: "cid", password: "p4" }] },
        bridges: { cloud: { ...shown.bridges["cloud"], server: "mqtts://moved" } },
      },
      noCheck,
    );
    expect(store.stored().auth.users).toEqual([
      { username: "ann", password: "hash:p1" },
      { username: "bob", password: "hash:p2" },
      { username: "cid", password: "hash:p4" },
    ]);
    expect(store.stored().bridges["cloud"]).toMatchObject({
      password: "p3",
      server: "mqtts://moved",
    });
    expect(store.stored().http.password).toBe("clear");
    expect(textOf(paths.current)).not.toMatch(/\*{6}|p[12]$/);
  });

  test("to a password that is stored already changes nothing", async () => {
    const { store } = open();
    await store.change({ http: { password: "new" } }, noCheck);
    expect(store.stored().http.password).toBe("hash:new");
    expect(await store.change({ http: { password: "new" } }, noCheck)).toEqual([]);
    expect(await store.change({ http: { password: "hash:new" } }, noCheck)).toEqual([]);
  });

  test.each<[string, string]>([
    [
      '{"listners":{}}',
      "CONFIG_KEY_UNKNOWN listners: unknown key with value an object in the change; did you mean listeners?",
    ],
    [
      '{"http":{"port":"80"}}',
      'CONFIG_VALUE_INVALID http.port: "80" is not valid in the change; expected a whole number',
    ],
    ['{"http":null}', "CONFIG_VALUE_INVALID http: null is not valid"],
    ['{"msq_len":null}', "CONFIG_VALUE_INVALID msq_len: null is not valid"],
    ['{"bridges":null}', "CONFIG_VALUE_INVALID bridges: null is not valid"],
    ['{"bridges":[]}', "CONFIG_VALUE_INVALID bridges: a list is not valid"],
    ['{"bridges":{"x":{}}}', "CONFIG_VALUE_INVALID bridges.x.server: nothing is not valid"],
    [
      '{"bridges":{"x":{"enable":false,"password":"******"}}}',
      "CONFIG_VALUE_INVALID bridges.x.password: ****** is not valid",
    ],
    [
      '{"auth":{"users":[{"username":"new","password":"******"}]}}',
      "CONFIG_VALUE_INVALID auth.users[0].password: ****** is not valid",
    ],
    ['{"__proto__":{"polluted":1}}', "CONFIG_KEY_UNKNOWN __proto__: unknown key"],
    [
      '{"http":{"constructor":{"prototype":{"polluted":1}}}}',
      "CONFIG_KEY_UNKNOWN http.constructor: unknown key",
    ],
    ['{"bridges":{"__proto__":{"server":"mqtt://x"}}}', "CONFIG_KEY_UNKNOWN bridges.__proto__"],
    [`{"bridges":${'{"x":'.repeat(5000)}1${"}".repeat(5001)}`, "CONFIG_KEY_UNKNOWN bridges.x.x"],
    [
      `{"auth":{"users":${"[".repeat(5000)}${"]".repeat(5000)}}}`,
      "CONFIG_VALUE_INVALID auth.users[0]",
    ],
  ])("that is not valid is refused and nothing is written: %.60s", async (json, message) => {
    const { store, paths } = open();
    expect(await messageOf(() => store.change(fromJson(json), noCheck))).toContain(message);
    expect(existsSync(paths.directory)).toBe(false);
    expect("polluted" in {}).toBe(false);
  });

  test("of a key that the environment or the command line sets is refused by its name", async () => {
    const { input } = open();
    const loaded = loadConfig({
      ...input,
      env: { TIDEGATE_HTTP_PORT: "1", TIDEGATE_HTTP_PASSWORD: "geheim" },
      options: new Map([["msq_len", "2"]]),
    });
    const store = openConfigStore(loaded, storeDeps);
    expect(await messageOf(() => store.change({ http: { port: 2 } }, noCheck))).toBe(
      "CONFIG_CHECK_FAILED http.port: 2 cannot be used: the environment variable TIDEGATE_HTTP_PORT sets this key and would win over the change",
    );
    expect(await messageOf(() => store.change({ msq_len: 3 }, noCheck))).toContain(
      "msq_len: 3 cannot be used: the command line option --msq_len sets this key",
    );
    expect(await messageOf(() => store.change({ http: { password: "x" } }, noCheck))).toContain(
      "http.password: ****** cannot be used",
    );
    expect(
      await store.change({ ...masked(store.stored(), SCHEMA), http: { port: 1 } }, noCheck),
    ).toEqual([]);
    await store.change({ http: { username: "root" } }, noCheck);
    expect(loadConfig(input).config.http).toMatchObject({ username: "root", port: 9000 });
  });

  test("is refused when the cross-checks refuse it, which see both configurations", async () => {
    const { store, paths } = open();
    const refused = new GatewayError("CONFIG_CHECK_FAILED", { key: "k", value: 1, reason: "no" });
    const check = async (next: { msq_len: number }, previous: { msq_len: number }) => {
      expect([next.msq_len, previous.msq_len]).toEqual([5, 100]);
      throw refused;
    };
    await expect(store.change({ msq_len: 5 }, check)).rejects.toBe(refused);
    expect(existsSync(paths.directory)).toBe(false);
    expect(store.stored().msq_len).toBe(100);
    expect(await store.change({ msq_len: 6 }, noCheck)).toEqual(["msq_len"]);
  });

  test("waits for the one before it, so that two writers never mix", async () => {
    const { store, reopen } = open("");
    const numbers = Array.from({ length: 30 }, (_, index) => index + 1);
    await Promise.all(
      numbers.map((n) =>
        store.change({ msq_len: n, bridges: { [`b${n}`]: { enable: false } } }, noCheck),
      ),
    );
    expect(store.stored().msq_len).toBe(30);
    expect(Object.keys(store.stored().bridges)).toHaveLength(30);
    expect(reopen().running).toEqual(store.stored());
  });

  test("does not wait in an endless line", async () => {
    const { store } = open();
    const turns = Array.from({ length: 70 }, () => store.change({}, noCheck));
    const outcomes = await Promise.allSettled(turns);
    const refused = outcomes.filter(({ status }) => status === "rejected");
    expect(refused).toHaveLength(6);
    expect(await store.change({}, noCheck)).toEqual([]);
  });

  test("builds on what another process has written meanwhile", async () => {
    const { store, reopen } = open();
    await store.change({ mqtt: { max_topic_levels: 10 } }, noCheck);
    await reopen().adopt({ http: { password: "reset" } });
    await store.change({ msq_len: 5 }, noCheck);
    expect(store.stored()).toMatchObject({
      msq_len: 5,
      mqtt: { max_topic_levels: 10 },
      http: { password: "hash:reset" },
    });
  });

  test("is refused while somebody's edit of the file is not valid", async () => {
    const { store, paths } = open();
    await store.change({ msq_len: 5 }, noCheck);
    writeFileSync(paths.current, "msq_len: [");
    expect(await messageOf(() => store.change({ msq_len: 6 }, noCheck))).toContain("CONFIG_SYNTAX");
    expect(textOf(paths.current)).toBe("msq_len: [");
  });

  test("that makes the file too large to be read again is refused", async () => {
    const { store, paths } = open();
    const topics = Array.from({ length: 900 }, (_, index) => `${index}/${"x".repeat(1300)}`);
    const patch = { acl: { rules: [{ topics }] } };
    expect(await messageOf(() => store.change(patch, noCheck))).toContain("at most 1048576");
    expect(existsSync(paths.directory)).toBe(false);
  });
});

describe("adopting", () => {
  test("is running at once and not on trial", async () => {
    const { store, paths, reopen } = open();
    expect(await store.adopt({ http: { password: "made" } })).toEqual(["http.password"]);
    expect(store.running.http.password).toBe("hash:made");
    expect(store.status()).toMatchObject({ restartPending: false, onTrial: false });
    expect(existsSync(paths.trial)).toBe(false);
    expect(reopen().running.http.password).toBe("hash:made");
  });
});

describe("the history", () => {
  test("keeps the last 20 versions, the present one included", async () => {
    const { store, paths } = open("");
    for (let n = 1; n <= 25; n += 1) await store.change({ msq_len: n }, noCheck);
    const names = readdirSync(paths.history).sort();
    expect(names).toHaveLength(HISTORY_SIZE);
    const texts = names.map((name) => textOf(join(paths.history, name)));
    expect(texts.at(-1)).toBe(textOf(paths.current));
    expect(texts[0]).toContain("msq_len: 6\n");
  });

  test("keeps the version that a trial would return to, however many changes follow", async () => {
    const { store, paths, input } = open("");
    await store.adopt({ msq_len: 1 });
    for (let n = 1; n <= 25; n += 1) await store.change({ http: { port: n } }, noCheck);
    expect(readdirSync(paths.history)).toHaveLength(HISTORY_SIZE + 1);
    for (let start = 1; start <= 3; start += 1) await beginStart(input);
    expect(loadConfig(input).config).toMatchObject({ msq_len: 1, http: { port: 8081 } });
  });
});

describe("PEM files", () => {
  test("are named by their content and hold it", async () => {
    const { store, paths } = open();
    const path = await store.putPem("cert", PEM);
    expect(await store.putPem("cert", PEM)).toBe(path);
    expect(await store.putPem("ca", PEM)).not.toBe(path);
    expect(textOf(path)).toBe(PEM);
    expect(basename(path)).toMatch(/^cert-[0-9a-f]{32}\.pem$/);
    expect(path.startsWith(paths.pem)).toBe(true);
  });

  test("stay as long as the configuration, its history or a change to come names them", async () => {
    const { store, reopen, paths } = open("");
    const first = await store.putPem("cert", PEM);
    await store.adopt({ tls: { cert_file: first } });
    const second = await store.putPem("cert", PEM.replace("AAAA", "BBBB"));
    const fresh = await store.putPem("cert", PEM.replace("AAAA", "CCCC"));
    await store.adopt({ tls: { cert_file: second } });
    for (let n = 1; n < HISTORY_SIZE - 1; n += 1) await store.adopt({ msq_len: n });
    expect([first, second, fresh].map(existsSync)).toEqual([true, true, true]);
    await store.adopt({ msq_len: 1000 });
    expect([first, second, fresh].map(existsSync)).toEqual([false, true, true]);
    const next = reopen();
    await next.adopt({ msq_len: 1001 });
    expect(readdirSync(paths.pem)).toEqual([basename(second)]);
  });

  test("stay for what runs, when the configuration has gone on", async () => {
    const { input, store } = open("");
    const path = await store.putPem("key", PEM);
    await store.adopt({ tls: { key_file: path } });
    const running = openConfigStore(loadConfig(input), storeDeps);
    await running.change({ tls: { key_file: null } }, noCheck);
    for (let n = 1; n <= 25; n += 1) await running.change({ http: { port: n } }, noCheck);
    expect(existsSync(path)).toBe(true);
  });

  test.each([
    ["", "it is not PEM text"],
    ["hello", "it is not PEM text"],
    [`${PEM}${"x".repeat(262_144)}`, "at most 262144"],
  ])("are refused when they are none", async (pem, reason) => {
    const { store, paths } = open();
    const message = await messageOf(() => store.putPem("key", pem));
    expect(message).toContain("CONFIG_CHECK_FAILED key: ****** cannot be used");
    expect(message).toContain(reason);
    expect(existsSync(paths.pem)).toBe(false);
  });
});

test("the status forgets what happened to the file with the next change", async () => {
  const { paths, reopen, input } = open("");
  await put(paths.current, "msq_len: [");
  await beginStart(input);
  const store = reopen();
  expect(store.status().setAside?.reason).toContain("not valid YAML");
  await store.change({ msq_len: 5 }, noCheck);
  expect(store.status().setAside).toBeNull();
  expect(reopen().status().setAside).toBeNull();
});

test("a patch is typed: parts of objects, null for members of maps, no other keys", () => {
  expectTypeOf({ listeners: { tcp: { port: 1 } } }).toExtend<ConfigPatch>();
  expectTypeOf({ bridges: { a: null, b: { server: MASK } } }).toExtend<ConfigPatch>();
  expectTypeOf({ acl: { rules: [{ permit: "allow" as const }] } }).toExtend<ConfigPatch>();
  expectTypeOf({ http: { port: "1" } }).not.toExtend<ConfigPatch>();
  expectTypeOf({ http: null }).not.toExtend<ConfigPatch>();
});
