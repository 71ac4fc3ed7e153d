import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { ManualClock } from "../time/index.ts";
import { configOf, createPki, dial, eventually, harness } from "./listeners.testing.ts";

const pki = createPki();
let server: Files;
let authority: Files;
let device: Files;
let expired: Files;
let stranger: Files;

interface Files {
  readonly key: string;
  readonly cert: string;
}

beforeAll(() => {
  authority = pki.authority("authority");
  server = pki.certificate("localhost", authority);
  device = pki.certificate("device", authority, { subject: "/C=JP/O=Tide, Ltd/CN=sensor 7" });
  expired = pki.certificate("expired", authority, { days: -1 });
  stranger = pki.certificate("stranger", pki.authority("other"));
});
afterAll(() => pki.remove());

type Tls = NonNullable<Parameters<typeof harness>[0]["tls"]>;

function configured(tls: Tls, clock?: ManualClock) {
  const gateway = harness(
    {
      listeners: { tls: { enable: true } },
      tls: { key_file: server.key, cert_file: server.cert, ...tls },
    },
    clock,
  );
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  return gateway;
}

async function start(tls: Tls = {}, clock?: ManualClock) {
  const gateway = configured(tls, clock);
  await gateway.listeners.start();
  return gateway;
}

/** A TLS client; resolves once the handshake is done or the connection is over. */
async function secure(tcpPort: number, files: Files | null, options: ConnectionOptions = {}) {
  const socket: TLSSocket = connect({
    host: "127.0.0.1",
    port: tcpPort,
    rejectUnauthorized: false,
    ...(files === null ? {} : { key: readFileSync(files.key), cert: readFileSync(files.cert) }),
    ...options,
  });
  onTestFinished(() => void socket.destroy());
  socket.on("error", () => {});
  socket.resume();
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  const secured = new Promise<void>((resolve) => socket.once("secureConnect", () => resolve()));
  await Promise.race([secured, closed]);
  return { socket, closed };
}

/** Client certificates are asked for, and with "required" insisted on. */
function verifying(mode: "optional" | "required"): Tls {
  const fail_if_no_peer_cert = mode === "required";
  return { verify_peer: true, fail_if_no_peer_cert, ca_file: authority.cert };
}

describe("client certificates", () => {
  test("verify_peer off: none is requested, whatever fail_if_no_peer_cert says", async () => {
    const gateway = await start({ verify_peer: false, fail_if_no_peer_cert: true });
    const { socket } = await secure(gateway.portOf("tls"), expired);
    const { peer, bytes } = await gateway.arrival();
    expect(peer.certificate).toBeNull();
    socket.write("hello");
    await eventually(() => expect(bytes().toString()).toBe("hello"));
  });

  test("verify_peer on: a client without certificate is accepted", async () => {
    const gateway = await start(verifying("optional"));
    await secure(gateway.portOf("tls"), null);
    expect((await gateway.arrival()).peer).toMatchObject({ listener: "tls", certificate: null });
  });

  test.each(["optional", "required"] as const)(
    "%s: a certificate that verifies is accepted and named",
    async (mode) => {
      const gateway = await start(verifying(mode));
      await secure(gateway.portOf("tls"), device);
      expect((await gateway.arrival()).peer.certificate).toEqual({
        subject: "CN=sensor 7,O=Tide\\, Ltd,C=JP",
        commonName: "sensor 7",
      });
    },
  );

  test.each([
    { mode: "optional", fault: "expired" },
    { mode: "optional", fault: "of another authority" },
    { mode: "required", fault: "expired" },
    { mode: "required", fault: "of another authority" },
    { mode: "required", fault: "missing" },
  ] as const)("$mode: a certificate that is $fault is refused", async ({ mode, fault }) => {
    const gateway = await start(verifying(mode));
    const files = { expired, "of another authority": stranger, missing: null }[fault];
    const { closed } = await secure(gateway.portOf("tls"), files);
    await closed;
    await eventually(() =>
      expect(gateway.statusOf("tls")).toMatchObject({
        connections: 0,
        refused: { client_certificate: 1 },
      }),
    );
    expect(gateway.arrived).toEqual([]);
  });
});

describe("handshake", () => {
  test("TLS 1.1 is refused, 1.2 and 1.3 are not", async () => {
    const gateway = await start();
    const old = await secure(gateway.portOf("tls"), null, {
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "ALL@SECLEVEL=0",
    });
    await old.closed;
    await eventually(() => expect(gateway.statusOf("tls")?.refused).toEqual({ tls_handshake: 1 }));
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      const { socket } = await secure(gateway.portOf("tls"), null, {
        minVersion: version,
        maxVersion: version,
      });
      expect(socket.getProtocol()).toBe(version);
    }
  });

  test("a silent or slow peer is cut at the connect timeout", async () => {
    const clock = new ManualClock();
    const gateway = await start({}, clock);
    const silent = await dial(gateway.portOf("tls"));
    const slow = await dial(gateway.portOf("tls"));
    slow.socket.write(Buffer.from([0x16, 0x03, 0x01, 0x02]));
    await eventually(() => expect(gateway.statusOf("tls")?.connections).toBe(2));
    clock.advance(10_000);
    await Promise.all([silent.closed, slow.closed]);
    await eventually(() =>
      expect(gateway.statusOf("tls")).toMatchObject({
        connections: 0,
        refused: { handshake_timeout: 2 },
      }),
    );
  });

  test("garbage and peers that leave in the middle harm nobody", async () => {
    const gateway = await start(verifying("required"));
    const tcpPort = gateway.portOf("tls");
    for (const bytes of [
      "GET / HTTP/1.1\r\n\r\n",
      "\x10\x0c\0\x04MQTT",
      "\x16\x03\x01\0\x05hello",
    ]) {
      const { socket, closed } = await dial(tcpPort);
      socket.write(bytes, "latin1");
      await closed;
    }
    const { socket } = await dial(tcpPort);
    socket.write(Buffer.from([0x16, 0x03]), () => socket.resetAndDestroy());
    await eventually(() => expect(gateway.statusOf("tls")?.connections).toBe(0));
    expect(gateway.statusOf("tls")?.refused).toEqual({ tls_handshake: 3 });
    await secure(tcpPort, device);
    await gateway.arrival();
  });

  test("a client that cuts its secured connection ends the stream, not the process", async () => {
    const gateway = await start();
    const { socket } = await secure(gateway.portOf("tls"), null);
    const { stream } = await gateway.arrival();
    socket.destroy();
    await eventually(() => expect(stream.destroyed).toBe(true));
    await eventually(() => expect(gateway.statusOf("tls")?.connections).toBe(0));
  });
});

describe("key material", () => {
  test("a key with a passphrase opens with it and names the fault without", async () => {
    const key_file = pki.encrypted(server.key, "open sesame");
    const gateway = await start({ key_file, key_password: "open sesame" });
    await secure(gateway.portOf("tls"), null);
    await gateway.arrival();
    await expect(
      configured({ key_file, key_password: "wrong" }).listeners.start(),
    ).rejects.toMatchObject({ code: "CONFIG_CHECK_FAILED", details: { key: "tls.key_file" } });
    await expect(configured({ key_file }).listeners.start()).rejects.toMatchObject({
      code: "CONFIG_CHECK_FAILED",
    });
  });

  test("unusable files keep their listener closed and no other, until they are put right", async () => {
    const clock = new ManualClock();
    const files = { key_file: pki.path("later.key"), cert_file: server.cert };
    writeFileSync(files.key_file, readFileSync(device.key));
    const gateway = harness(
      { listeners: { tcp: { enable: true }, tls: { enable: true } }, tls: files },
      clock,
    );
    onTestFinished(() => gateway[Symbol.asyncDispose]());
    await gateway.listeners.start();
    await dial(gateway.portOf("tcp"));
    await gateway.arrival();
    expect(gateway.statusOf("tls")).toBeUndefined();
    expect(gateway.alarms.get("listener_tls/tls")).toMatch(/is closed.*tls\.key_file/);
    expect(gateway.lines).toContainEqual(
      expect.objectContaining({ listener: "tls", err: expect.stringContaining("later.key") }),
    );
    clock.advance(60_000);
    writeFileSync(files.key_file, readFileSync(server.key));
    clock.advance(60_000);
    await eventually(() => expect(gateway.statusOf("tls")).toBeDefined());
    await secure(gateway.portOf("tls"), null);
    await gateway.arrival(1);
    await eventually(() => expect([...gateway.alarms]).toEqual([]));
  });

  test("a change elsewhere is made while a listener is closed for its files, a bad pair is not", async () => {
    const part = { tcp: { enable: true }, tls: { enable: true } };
    const gateway = harness({ listeners: part, tls: { cert_file: server.cert } });
    onTestFinished(() => gateway[Symbol.asyncDispose]());
    await gateway.listeners.start();
    const next = configOf({ listeners: part, tls: { cert_file: server.cert } });
    await gateway.listeners.apply({
      ...next,
      listeners: { ...next.listeners, ws: { ...next.listeners.ws, enable: true } },
    });
    expect(gateway.statusOf("ws")).toBeDefined();
    await expect(
      gateway.listeners.apply({ ...next, tls: { ...next.tls, key_file: device.key } }),
    ).rejects.toMatchObject({ details: { key: "tls.key_file" } });
    const off = { ...next.listeners.tls, enable: false };
    await gateway.listeners.apply({ ...next, listeners: { ...next.listeners, tls: off } });
    expect([...gateway.alarms]).toEqual([]);
  });

  test("unusable files of the only listener stop the start and are named", async () => {
    const empty = pki.path("empty.pem");
    writeFileSync(empty, "");
    const cases: readonly [Tls, string][] = [
      [{ key_file: null }, "tls.key_file"],
      [{ key_file: pki.path("absent") }, "tls.key_file"],
      [{ key_file: pki.path("") }, "tls.key_file"],
      [{ key_file: device.key }, "tls.key_file"],
      [{ cert_file: empty }, "tls.cert_file"],
      [{ verify_peer: true, ca_file: null }, "tls.ca_file"],
      [{ verify_peer: true, ca_file: empty }, "tls.ca_file"],
    ];
    for (const [tls, key] of cases) {
      await expect(configured(tls).listeners.start()).rejects.toMatchObject({
        code: "CONFIG_CHECK_FAILED",
        details: { key },
      });
    }
  });
});

describe("reload", () => {
  /** Files that the test may overwrite. */
  function copies() {
    const files = { key_file: pki.path("live.key"), cert_file: pki.path("live.pem") };
    put(files, server);
    return files;
  }

  function put(to: { key_file: string; cert_file: string }, from: Files): void {
    writeFileSync(to.key_file, readFileSync(from.key));
    writeFileSync(to.cert_file, readFileSync(from.cert));
  }

  async function servedName(tcpPort: number): Promise<string | undefined> {
    const { socket } = await secure(tcpPort, null);
    const name = socket.getPeerCertificate().subject.CN;
    socket.destroy();
    return typeof name === "string" ? name : name?.[0];
  }

  test("a new pair serves new connections while open ones go on", async () => {
    const files = copies();
    const gateway = await start(files);
    const { socket } = await secure(gateway.portOf("tls"), null);
    const { bytes } = await gateway.arrival();
    put(files, device);
    await gateway.listeners.reloadTls();
    expect(await servedName(gateway.portOf("tls"))).toBe("sensor 7");
    socket.write("still here");
    await eventually(() => expect(bytes().toString()).toBe("still here"));
  });

  test("a bad pair is refused and the old one stays", async () => {
    const files = copies();
    const gateway = await start(files);
    writeFileSync(files.key_file, readFileSync(device.key));
    await expect(gateway.listeners.reloadTls()).rejects.toMatchObject({
      code: "CONFIG_CHECK_FAILED",
    });
    expect(await servedName(gateway.portOf("tls"))).toBe("localhost");
    expect(gateway.alarms.get("listener_tls/tls")).toMatch(/old TLS files.*tls\.key_file/);
    writeFileSync(files.cert_file, "garbage");
    await expect(gateway.listeners.reloadTls()).rejects.toMatchObject({
      details: { key: "tls.cert_file" },
    });
    expect(await servedName(gateway.portOf("tls"))).toBe("localhost");
    put(files, device);
    await gateway.listeners.reloadTls();
    expect(await servedName(gateway.portOf("tls"))).toBe("sensor 7");
    expect([...gateway.alarms]).toEqual([]);
  });

  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "a %s session ticket of a client whose authority was removed opens nothing",
    async (version) => {
      const ca_file = pki.path("live-ca.pem");
      writeFileSync(ca_file, readFileSync(authority.cert));
      const gateway = await start({ ...verifying("required"), ca_file });
      const limits = { minVersion: version, maxVersion: version };
      const first = await secure(gateway.portOf("tls"), device, limits);
      const ticket = first.socket.getSession();
      const tickets: Buffer[] = ticket === undefined ? [] : [ticket];
      first.socket.on("session", (session) => tickets.push(session));
      (await gateway.arrival()).stream.write("x");
      await once(first.socket, "data");
      const session = tickets.at(-1);
      const resumed = await secure(gateway.portOf("tls"), device, { ...limits, session });
      expect(resumed.socket.isSessionReused()).toBe(true);
      await gateway.arrival(1);
      writeFileSync(ca_file, readFileSync(pki.path("other.pem")));
      await gateway.listeners.reloadTls();
      const again = await secure(gateway.portOf("tls"), device, { ...limits, session });
      await again.closed;
      expect(gateway.arrived).toHaveLength(2);
    },
  );
});
