import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Fault } from "../../config/index.ts";
import { GatewayError } from "../../errors/index.ts";
import { createLog } from "../../log/index.ts";
import type { BridgeLoop } from "./bridge-check.ts";
import type { ConfigPatch } from "./config-store.ts";
import { type ConfigDraft, createConfiguration } from "./configuration.ts";
import { configWith, MemoryConfigStore } from "./memory-config-store.testing.ts";
import { makeCertificate, type TestCertificate } from "./test-certificates.testing.ts";

const log = createLog({ level: "fatal" }, { write: () => undefined });

let directory: string;
let own: TestCertificate;
let other: TestCertificate;
let locked: TestCertificate;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "tidegate-configuration-"));
  own = await makeCertificate(directory, "own");
  other = await makeCertificate(directory, "other");
  locked = await makeCertificate(directory, "locked", "sesame");
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

/** All ports are 0, so that a test decides which of them matter. */
const NO_PORTS = {
  listeners: { tcp: { port: 0 }, ws: { port: 0 }, tls: { port: 0 }, wss: { port: 0 } },
  http: { port: 0, emqx_port: null, password: "public", bind: "127.0.0.1" },
} as const;

async function configuration(
  options: {
    stored?: ConfigPatch;
    held?: number[];
    loop?: BridgeLoop | null;
    bridgeFaults?: Fault[];
    accessFault?: GatewayError;
  } = {},
) {
  const pemDirectory = await mkdtemp(join(directory, "pem-"));
  const store = new MemoryConfigStore(configWith({ ...NO_PORTS, ...options.stored }), pemDirectory);
  const service = createConfiguration(
    {
      log,
      store,
      heldPorts: () => options.held ?? [],
      parts: {
        findLoop: () => options.loop ?? null,
        findRing: () => null,
        bridgeFaults: () => options.bridgeFaults ?? [],
        checkAccess: () => {
          if (options.accessFault !== undefined) throw options.accessFault;
        },
      },
    },
    store.stored(),
  );
  const change = (draft: Partial<ConfigDraft>, force = false) =>
    service.change(async () => ({ patch: {}, pems: {}, ...draft }), { force });
  return {
    store,
    service,
    change,
    pemFiles: () => readdir(pemDirectory),
    /** Expects a refusal for `key` and that nothing was written. */
    async refused(draft: Partial<ConfigDraft>, key: string, reason: RegExp) {
      await expect(change(draft)).rejects.toMatchObject({
        code: "CONFIG_CHECK_FAILED",
        details: { key, reason: expect.stringMatching(reason) },
      });
      expect(store.writes).toBe(0);
      expect(await readdir(pemDirectory)).toEqual([]);
    },
  };
}

test("a change is written and named by its keys", async () => {
  const { store, change } = await configuration();
  expect(await change({ patch: { msq_len: 5 } })).toEqual(["msq_len"]);
  expect(store.stored().msq_len).toBe(5);
});

test("nothing is written when nothing differs", async () => {
  const { store, change } = await configuration();
  expect(await change({ patch: { msq_len: store.stored().msq_len } })).toEqual([]);
  expect(store.writes).toBe(0);
});

test("what runs stays what it was until the restart", async () => {
  const { service, change } = await configuration();
  await change({ patch: { msq_len: 5 } });
  expect(service.running().msq_len).toBe(2048);
});

test("changes come one after the other, each made from what the one before left", async () => {
  const { store, service } = await configuration();
  const add = () =>
    service.change(
      async (stored) => {
        await new Promise((resolve) => setImmediate(resolve));
        return { patch: { msq_len: stored.msq_len + 1 }, pems: {} };
      },
      { force: false },
    );
  await Promise.all([add(), add(), add(), add()]);
  expect(store.stored().msq_len).toBe(2048 + 4);
});

test("a change that fails does not stop the next one", async () => {
  const { service, change } = await configuration();
  const broken = service.change(
    async () => {
      throw new Error("draft");
    },
    { force: false },
  );
  await expect(broken).rejects.toThrow("draft");
  expect(await change({ patch: { msq_len: 9 } })).toEqual(["msq_len"]);
});

describe("ports", () => {
  test("a port that another program uses is refused", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    try {
      const { refused } = await configuration();
      const tcp = { bind: "127.0.0.1", port };
      await refused({ patch: { listeners: { tcp } } }, "listeners.tcp.port", /in use/);
    } finally {
      taken.close();
    }
  });

  test("a port that this process holds itself is fine", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    try {
      const { change } = await configuration({ held: [port] });
      const tcp = { bind: "127.0.0.1", port };
      expect(await change({ patch: { listeners: { tcp } } })).toHaveLength(2);
    } finally {
      taken.close();
    }
  });

  test("a disabled listener's port does not matter", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    try {
      const { change } = await configuration();
      const tcp = { bind: "127.0.0.1", port, enable: false };
      expect(await change({ patch: { listeners: { tcp } } })).toHaveLength(3);
    } finally {
      taken.close();
    }
  });

  test("an address this machine does not have is refused by its key", async () => {
    const { refused } = await configuration();
    const tcp = { bind: "203.0.113.7", port: 18_883 };
    await refused({ patch: { listeners: { tcp } } }, "listeners.tcp.bind", /nothing can listen/);
  });

  test.each([
    ["the same address", "127.0.0.1", "127.0.0.1"],
    ["a wildcard and an address", "::", "127.0.0.1"],
  ])("two listeners on one port are refused: %s", async (_, first, second) => {
    const { refused } = await configuration();
    const listeners = { tcp: { bind: first, port: 21_883 }, ws: { bind: second, port: 21_883 } };
    await refused({ patch: { listeners } }, "listeners.tcp.port", /another listener/);
  });

  test("one port on two addresses of this machine is fine", async () => {
    const { change } = await configuration({ held: [21_884] });
    const listeners = {
      tcp: { bind: "127.0.0.1", port: 21_884 },
      ws: { bind: "127.0.0.2", port: 21_884 },
    };
    expect(await change({ patch: { listeners } })).toHaveLength(4);
  });

  test("a listener on the API's second port is refused", async () => {
    const { refused } = await configuration({
      stored: { http: { ...NO_PORTS.http, emqx_port: 21_885 } },
    });
    const tcp = { bind: "127.0.0.1", port: 21_885 };
    await refused({ patch: { listeners: { tcp } } }, "listeners.tcp.port", /another listener/);
  });

  test("HTTPS on another listener's port is refused", async () => {
    const { refused } = await configuration({
      stored: { http: { ...NO_PORTS.http, port: 21_886 } },
    });
    const https = { enable: true, bind: "127.0.0.1", port: 21_886 };
    await refused(
      { patch: { https }, pems: { key: own.key, cert: own.cert } },
      "https.port",
      /another listener/,
    );
  });
});

describe("TLS", () => {
  const on = { listeners: { tls: { enable: true } } };

  test.each([
    ["tls", { listeners: { tls: { enable: true } } }],
    ["wss", { listeners: { wss: { enable: true } } }],
    ["HTTPS", { https: { enable: true } }],
  ])("%s without a certificate is refused", async (_, patch) => {
    const { refused } = await configuration();
    await refused({ patch }, "tls.cert_file", /cannot do without/);
  });

  test("a certificate without its key is refused", async () => {
    const { refused } = await configuration();
    await refused({ patch: on, pems: { cert: own.cert } }, "tls.key_file", /cannot do without/);
  });

  test("a matching pair is stored in files and switched on", async () => {
    const { store, change, pemFiles } = await configuration();
    const changed = await change({ patch: on, pems: { key: own.key, cert: own.cert } });
    expect(changed).toContain("listeners.tls.enable");
    expect(await pemFiles()).toHaveLength(2);
    expect(store.stored().tls.cert_file).toMatch(/cert-.*\.pem$/);
  });

  test("a pair that is stored already is no change", async () => {
    const { change, store } = await configuration();
    await change({ pems: { key: own.key, cert: own.cert } });
    expect(await change({ pems: { key: own.key, cert: own.cert } })).toEqual([]);
    expect(store.writes).toBe(1);
  });

  test("a key that does not fit is refused and leaves no file behind", async () => {
    const { refused } = await configuration();
    const pems = { key: other.key, cert: own.cert };
    await refused({ patch: on, pems }, "tls.cert_file", /does not belong/);
  });

  test("a good pair leaves no file behind when something else is refused", async () => {
    const { refused } = await configuration();
    const patch = { ...on, http: { enable: false } };
    await refused({ patch, pems: { key: own.key, cert: own.cert } }, "http.enable", /lock/);
  });

  test("a key with a passphrase needs the right one", async () => {
    const pems = () => ({ key: locked.key, cert: locked.cert });
    const without = await configuration();
    await without.refused({ patch: on, pems: pems() }, "tls.key_password", /does not open/);
    const wrong = await configuration();
    const patch = { ...on, tls: { key_password: "wrong" } };
    await wrong.refused({ patch, pems: pems() }, "tls.key_password", /does not open/);
    const right = await configuration();
    await right.change({ patch: { ...on, tls: { key_password: "sesame" } }, pems: pems() });
    expect(right.store.stored().listeners.tls.enable).toBe(true);
  });

  test.each([
    ["key", "tls.key_file", /no private key/],
    ["cert", "tls.cert_file", /no certificate/],
    ["ca", "tls.ca_file", /no certificate/],
  ] as const)("text that is no %s is refused even while TLS is off", async (kind, key, reason) => {
    const { refused } = await configuration();
    await refused({ pems: { [kind]: "garbage" } }, key, reason);
  });

  test("a damaged certificate is refused", async () => {
    const { refused } = await configuration();
    const cert = own.cert.replace(/\n[A-Za-z0-9+/]{20}/, "\nAAAAAAAAAAAAAAAAAAAA");
    await refused({ pems: { cert } }, "tls.cert_file", /broken certificate/);
  });

  test("a file that cannot be read is refused with its path", async () => {
    const { change } = await configuration();
    const patch = { tls: { cert_file: "/does/not/exist.pem" } };
    await expect(change({ patch })).rejects.toThrow(/tls.cert_file: \/does\/not\/exist.pem/);
  });

  test("verify_peer without a CA is refused, because it would let anybody in", async () => {
    const { refused } = await configuration();
    const pems = { key: own.key, cert: own.cert };
    await refused({ patch: { ...on, tls: { verify_peer: true } }, pems }, "tls.ca_file", /CA/);
  });

  test.each(["ssl:factory", "wss:shop"])("the files of %s are looked at as well", async (name) => {
    const { refused, change, store } = await configuration();
    const listener = (tls: object) => ({
      patch: { extra_listeners: { [name]: { enable: true, port: 0, tls } } },
    });
    const key = `extra_listeners.${name}.tls`;
    await refused(listener({}), "tls.cert_file", /cannot do without/);
    const { certFile: cert_file, keyFile: key_file } = own;
    await refused(listener({ cert_file }), `${key}.key_file`, /cannot do without/);
    const foreign = listener({ cert_file, key_file: other.keyFile });
    await refused(foreign, `${key}.cert_file`, /does not belong/);
    const open = listener({ cert_file, key_file, verify_peer: true });
    await refused(open, `${key}.ca_file`, /CA/);
    await change(listener({ cert_file, key_file }));
    expect(store.stored().extra_listeners[name]?.tls.key_file).toBe(key_file);
  });

  test("the texts of certificates can be read back, those of unreadable files are null", async () => {
    const { service } = await configuration();
    const config = configWith({ tls: { cert_file: own.certFile, ca_file: "/does/not/exist.pem" } });
    expect(await service.pemTexts(config)).toEqual({ cert: own.cert, ca: null });
  });
});

describe("locking oneself out", () => {
  test("HTTP may go where HTTPS is, and neither as the last one", async () => {
    const https = { enable: true, bind: "127.0.0.1", port: 0 };
    const pems = { key: own.key, cert: own.cert };
    const one = await configuration();
    expect(await one.change({ patch: { https, http: { enable: false } }, pems })).toContain(
      "http.enable",
    );
    const two = await configuration({
      stored: { https, http: { ...NO_PORTS.http, enable: false } },
    });
    await two.refused({ patch: { https: { enable: false } } }, "https.enable", /lock/);
  });

  const cases = [
    ["the API off", { http: { enable: false } }, "http.enable"],
    ["no password", { http: { password: null } }, "http.password"],
    ["an empty password", { http: { password: "" } }, "http.password"],
    ["jwt without a key", { http: { auth_type: "jwt" } }, "http.jwt_public_key_file"],
    [
      "jwt with an unreadable key",
      { http: { auth_type: "jwt", jwt_public_key_file: "/does/not/exist.pub" } },
      "http.jwt_public_key_file",
    ],
  ] as const;

  test.each(cases)("%s is refused", async (_, patch, key) => {
    const { refused } = await configuration();
    await refused({ patch }, key, /./);
  });

  test.each(cases)("%s is done with force", async (_, patch) => {
    const { store, change } = await configuration();
    await change({ patch }, true);
    expect(store.writes).toBe(1);
  });

  test("jwt takes an RSA public key of 2048 bits, and no other", async () => {
    const keyFile = async (name: string, pem: string | Buffer) => {
      const path = join(directory, name);
      await writeFile(path, pem);
      return { http: { auth_type: "jwt", jwt_public_key_file: path } };
    };
    const spki = { type: "spki", format: "pem" } as const;
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export(spki);
    const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export(spki);
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export(spki);
    const good = await configuration();
    expect(await good.change({ patch: await keyFile("rsa.pub", rsa) })).toHaveLength(2);
    const bad = await configuration();
    const key = "http.jwt_public_key_file";
    await bad.refused({ patch: await keyFile("weak.pub", weak) }, key, /2048 bits/);
    await bad.refused({ patch: await keyFile("ec.pub", ec) }, key, /no RSA key/);
    await bad.refused({ patch: await keyFile("text.pub", "hello") }, key, /no public key/);
  });
});

describe("bridges", () => {
  const bridge = { server: "mqtt://127.0.0.1:1", forwards: [{ local_topic: "a/#" }] };

  test("what a bridge itself finds wrong is refused with its key", async () => {
    const fault: Fault = {
      kind: "value",
      key: "bridges.default.forwards[0].remote_topic",
      value: "x/#",
      expected: "a part of the local filter",
    };
    const { refused } = await configuration({ bridgeFaults: [fault] });
    const patch = { bridges: { default: { server: "mqtt://127.0.0.1", forwards: [] } } };
    await refused({ patch }, fault.key, /expected a part of the local filter/);
  });

  test("access rules that could never work are refused", async () => {
    const accessFault = new GatewayError("CONFIG_CHECK_FAILED", {
      key: "acl.rules[0].ipaddr",
      value: "10.0.0.0/99",
      reason: "it is no address block",
    });
    const { refused } = await configuration({ accessFault });
    await refused({ patch: { msq_len: 5 } }, "acl.rules[0].ipaddr", /no address block/);
  });

  test("rules that loop are refused with the rule", async () => {
    const { refused } = await configuration({ loop: { forward: "a/#", subscription: "a/b" } });
    await refused({ patch: { bridges: { b: bridge } } }, "bridges.b.forwards", /a\/b/);
  });

  test("a bridge that did not change does not block another change", async () => {
    const { change } = await configuration({
      stored: { bridges: { b: bridge } },
      loop: { forward: "a/#", subscription: "a/b" },
    });
    expect(await change({ patch: { msq_len: 3 } })).toEqual(["msq_len"]);
  });

  test("client certificate and key must fit", async () => {
    const { refused } = await configuration();
    const tls = { cert_file: own.certFile, key_file: other.keyFile };
    const patch = { bridges: { b: { ...bridge, tls } } };
    await refused({ patch }, "bridges.b.tls.cert_file", /does not belong/);
  });

  test("a file that cannot be read is refused", async () => {
    const { refused } = await configuration();
    const tls = { ca_file: "/does/not/exist.pem" };
    const patch = { bridges: { b: { ...bridge, tls } } };
    await refused({ patch }, "bridges.b.tls.ca_file", /cannot be read/);
  });
});

test("an unreadable file is refused, not fatal", async () => {
  const path = join(directory, "secret.pem");
  await writeFile(path, own.key);
  await chmod(path, 0);
  const { change } = await configuration();
  // The superuser reads every file; then the key is found to be no certificate.
  await expect(change({ patch: { tls: { cert_file: path } } })).rejects.toMatchObject({
    code: "CONFIG_CHECK_FAILED",
  });
});
