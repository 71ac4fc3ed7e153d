import { createPrivateKey } from "node:crypto";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BridgeConfig } from "../config/index.ts";
import { reasonOf } from "../errors/index.ts";
import { bridgeConfig, eventually, forward, TestBridge } from "./bridge.testing.ts";
import {
  type Certificates,
  freePort,
  Mosquitto,
  makeCertificates,
  temporaryDirectory,
} from "./mosquitto.testing.ts";
import { CONNACK_OK, ScriptedServer } from "./scripted-server.testing.ts";
import { WebSocketRelay } from "./websocket-relay.testing.ts";

let files: { path: string } & AsyncDisposable;
let certificates: Certificates;

beforeAll(async () => {
  files = await temporaryDirectory();
  certificates = await makeCertificates(files.path);
});

afterAll(async () => {
  await files[Symbol.asyncDispose]();
});

const tls = (more: Partial<BridgeConfig["tls"]> = {}): BridgeConfig["tls"] => ({
  ...bridgeConfig().tls,
  ...more,
});

function tlsBroker(pair: { cert: string; key: string }, ...lines: string[]): Promise<Mosquitto> {
  return Mosquitto.start([
    ...[`certfile ${pair.cert}`, `keyfile ${pair.key}`, "allow_anonymous true"],
    ...lines,
  ]);
}

describe("bridge over TLS", () => {
  it("verifies the server by the given CA, and says in words what is wrong with it", async () => {
    await using cloud = await tlsBroker(certificates.server);
    const server = `mqtts://127.0.0.1:${cloud.tcpPort}`;
    {
      await using good = await TestBridge.start({ server, tls: tls({ ca_file: certificates.ca }) });
      await good.connected();
    }
    {
      await using named = await TestBridge.start({
        server: `tls+mqtt-tcp://127.0.0.1:${cloud.tcpPort}`,
        tls: tls({ ca_file: certificates.ca, server_name: "broker.test" }),
      });
      await named.connected();
    }
    const cases: [Partial<BridgeConfig["tls"]>, RegExp][] = [
      [{}, /unable to verify the first certificate|unable to get local issuer certificate/],
      [{ ca_file: certificates.otherCa }, /unable to verify|unable to get local issuer/],
      [{ ca_file: certificates.ca, server_name: "wrong.test" }, /wrong\.test.*not.*altnames/],
      [
        { ca_file: certificates.ca, server_name: "192.0.2.1" },
        /192\.0\.2\.1.*not.*(list|altnames)/,
      ],
      [{ ca_file: join(files.path, "missing.pem") }, /tls\.ca_file .*missing\.pem cannot be used/],
    ];
    for (const [wrong, words] of cases) {
      await using test = await TestBridge.start({ server, tls: tls(wrong) });
      expect(await test.trouble()).toMatch(words);
    }
    await using byName = await TestBridge.start({
      server: server.replace("127.0.0.1", "localhost"),
      tls: tls({ ca_file: certificates.ca }),
    });
    expect(await byName.trouble()).toMatch(/localhost.*not.*altnames/);
    await using trusting = await TestBridge.start({ server, tls: tls({ verify: false }) });
    await trusting.connected();
  });

  it("refuses an expired certificate", async () => {
    await using cloud = await tlsBroker(certificates.expired);
    await using test = await TestBridge.start({
      server: `mqtts://127.0.0.1:${cloud.tcpPort}`,
      tls: tls({ ca_file: certificates.ca }),
    });
    expect(await test.trouble()).toMatch(/the certificate of 127.*has expired, or the clock/);
  });

  it("shows a client certificate whose key has a passphrase, and reads renewed files anew", async () => {
    await using cloud = await tlsBroker(
      certificates.server,
      `cafile ${certificates.ca}`,
      "require_certificate true",
    );
    const { client, ca, passphrase } = certificates;
    const server = `mqtts://127.0.0.1:${cloud.tcpPort}`;
    const withClient = tls({
      ca_file: ca,
      cert_file: client.cert,
      key_file: client.key,
      key_password: passphrase,
    });
    {
      await using good = await TestBridge.start({ server, tls: withClient });
      await good.connected();
    }
    await using none = await TestBridge.start({ server, tls: tls({ ca_file: ca }) });
    expect(await none.trouble()).toMatch(
      /does not accept our certificate, see tls\.cert_file|connection (reset|closed)/,
    );
    for (const password of ["wrong", await plausiblePassphrase(client.key)]) {
      await using wrong = await TestBridge.start({
        server,
        tls: { ...withClient, key_password: password },
      });
      expect(await wrong.trouble()).toMatch(/tls\.key_file .*tls\.key_password does not open it/);
    }

    const rotating = join(files.path, "rotating-ca.pem");
    await writeFile(rotating, "-----BEGIN nothing yet");
    await using rotated = await TestBridge.start({
      server,
      tls: { ...withClient, ca_file: rotating },
    });
    await rotated.trouble();
    await copyFile(ca, rotating);
    await rotated.connected();
  });

  it("a server that speaks no TLS, or no MQTT, is named as such", async () => {
    await using plain = await Mosquitto.start();
    await using test = await TestBridge.start({ server: `mqtts://127.0.0.1:${plain.tcpPort}` });
    expect(await test.trouble()).toMatch(/connection (reset|closed)|wrong version number/);
  });
});

/** A wrong passphrase whose garbage ends like a key: OpenSSL does not call it a wrong one. */
async function plausiblePassphrase(keyFile: string): Promise<string> {
  const key = await readFile(keyFile);
  for (let n = 0; n < 10_000; n++) {
    try {
      createPrivateKey({ key, passphrase: `wrong-${n}` });
    } catch (err) {
      if (!reasonOf(err).includes("bad decrypt")) return `wrong-${n}`;
    }
  }
  throw new Error("every wrong passphrase is called one");
}

describe("bridge over WebSocket", () => {
  it.each([3, 4, 5] as const)("carries messages, protocol level %i", async (version) => {
    await using cloud = await Mosquitto.start();
    await using relay = await WebSocketRelay.start(cloud.tcpPort);
    await using test = await TestBridge.start({
      server: `ws://127.0.0.1:${relay.tcpPort}/mqtt`,
      proto_ver: version,
      forwards: [forward("#")],
    });
    await test.connected();
    for (let i = 0; i < 100; i++) await test.bus.send("t", "x".repeat(2000));
    await eventually(() => expect(test.status()).toMatchObject({ forwarded: 100 }));
  });

  it("over TLS verifies as TLS does", async () => {
    await using cloud = await Mosquitto.start();
    await using relay = await WebSocketRelay.start(cloud.tcpPort, certificates.server);
    const server = `wss://127.0.0.1:${relay.tcpPort}/mqtt`;
    await using good = await TestBridge.start({ server, tls: tls({ ca_file: certificates.ca }) });
    await good.connected();
    await using named = await TestBridge.start({
      server,
      tls: tls({ ca_file: certificates.ca, server_name: "wrong.test" }),
    });
    expect(await named.trouble()).toMatch(/wrong\.test.*not.*altnames/);
    await using unknown = await TestBridge.start({ server });
    expect(await unknown.trouble()).toMatch(/unable to/);
  });

  it("a web server that knows no such path is named with its HTTP status", async () => {
    await using relay = await WebSocketRelay.start(1);
    await using test = await TestBridge.start({ server: `ws://127.0.0.1:${relay.tcpPort}/other` });
    const words = `WebSocket refused by 127.0.0.1:${relay.tcpPort} with HTTP 400`;
    expect(await test.trouble()).toBe(words);
  });

  it("a message larger than the limit ends the connection before it fills the memory", async () => {
    await using server = await ScriptedServer.start({
      onConnection: (connection) => connection.send(CONNACK_OK, Buffer.alloc(9_000_000, 0xd0)),
    });
    await using relay = await WebSocketRelay.start(server.tcpPort);
    await using test = await TestBridge.start({ server: `ws://127.0.0.1:${relay.tcpPort}/mqtt` });
    expect(await test.trouble()).toMatch(/malformed|Max payload|closed/);
  });
});

describe("server that cannot be reached", () => {
  it.each([
    ["mqtt", "connection refused by 127.0.0.1:%p"],
    ["mqtts", "connection refused by 127.0.0.1:%p"],
    ["ws", "connection refused by 127.0.0.1:%p"],
  ])("%s: a closed port reads %s", async (scheme, words) => {
    const tcpPort = await freePort();
    await using test = await TestBridge.start({ server: `${scheme}://127.0.0.1:${tcpPort}` });
    expect(await test.trouble()).toBe(words.replace("%p", String(tcpPort)));
    await eventually(() => expect(test.status().state).toBe("waiting"));
  });

  it("a name with several addresses is tried at each of them", async () => {
    await using cloud = await Mosquitto.start();
    await using relay = await WebSocketRelay.start(cloud.tcpPort);
    for (const server of [
      `mqtt://localhost:${cloud.tcpPort}`,
      `ws://localhost:${relay.tcpPort}/mqtt`,
    ]) {
      await using test = await TestBridge.start({ server });
      await test.connected();
    }
    const tcpPort = await freePort();
    await using test = await TestBridge.start({ server: `mqtt://localhost:${tcpPort}` });
    expect(await test.trouble()).toBe(`connection refused by localhost:${tcpPort}`);
  });

  it("a name nobody knows", async () => {
    await using test = await TestBridge.start({
      server: "mqtt://nobody.invalid:1883",
      connect_timeout_s: 0.5,
    });
    expect(await test.trouble()).toMatch(
      /host name nobody\.invalid is unknown|no DNS answer for nobody\.invalid|no answer from nobody/,
    );
  });

  it("a dead link writes one line to the log, not one for every dial", async () => {
    const tcpPort = await freePort();
    await using test = await TestBridge.start({
      server: `mqtt://127.0.0.1:${tcpPort}`,
      backoff_min_s: 0.001,
      backoff_max_s: 0.002,
    });
    let dials = 0;
    let last = test.status().sinceMs;
    await eventually(() => {
      const { sinceMs } = test.status();
      if (sinceMs !== last) dials += 1;
      last = sinceMs;
      expect(dials).toBeGreaterThan(20);
    });
    expect(test.lines).toMatchObject([
      {
        level: "warn",
        msg: "bridge cannot connect",
        reason: `connection refused by 127.0.0.1:${tcpPort}`,
      },
    ]);
  });
});
