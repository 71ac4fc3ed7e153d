import { readFileSync } from "node:fs";
import { createServer, type TLSSocket } from "node:tls";
import { describe, expect, it } from "vitest";
import { makeCertificates } from "../../test/helpers/certificates.ts";
import { eventually, forward, TestBridge } from "./bridge.testing.ts";
import { CONNACK_OK, CONNECT, type Script, ScriptedServer } from "./scripted-server.testing.ts";

const accept: Script = {
  onPacket: (connection, { type }) => {
    if (type === CONNECT) connection.send(CONNACK_OK);
  },
};

async function closedPort(): Promise<number> {
  await using server = await ScriptedServer.start(accept);
  return server.tcpPort;
}

describe("list of servers", () => {
  it("turns to the next server at once while the first cannot be reached, and returns when it is back", async () => {
    const first = await closedPort();
    await using second = await ScriptedServer.start(accept);
    await using test = await TestBridge.start({
      server: `mqtt://127.0.0.1:${first}`,
      servers: [second.url],
      backoff_min_s: 60,
      backoff_max_s: 60,
      failback_s: 0.1,
    });
    await test.connected();
    expect(test.status().server).toBe(`127.0.0.1:${second.tcpPort}`);
    await using back = await ScriptedServer.start(accept, first);
    await eventually(() => expect(test.status().server).toBe(`127.0.0.1:${back.tcpPort}`));
    await test.connected();
    expect(test.lines.map((line) => line["msg"])).toContain("bridge returns to its first server");
  });

  it("backs off once every server of the list has failed", async () => {
    const dead = [await closedPort(), await closedPort()];
    await using test = await TestBridge.start({
      server: `mqtt://127.0.0.1:${dead[0]}`,
      servers: [`mqtt://127.0.0.1:${dead[1]}`],
      backoff_min_s: 60,
      backoff_max_s: 60,
    });
    await eventually(() => expect(test.status().reconnects).toBe(2));
    expect(test.status()).toMatchObject({
      state: "waiting",
      lastError: `connection refused by 127.0.0.1:${dead[1]}`,
    });
  });

  it("leaves a server that accepts and closes at once for the next one", async () => {
    await using first = await ScriptedServer.start({
      onPacket: (connection, { type }) => {
        if (type === CONNECT) connection.send(CONNACK_OK);
        connection.socket.end();
      },
    });
    await using second = await ScriptedServer.start(accept);
    await using test = await TestBridge.start({ server: first.url, servers: [second.url] });
    await eventually(() => expect(second.connections).toHaveLength(1));
    await test.connected();
    expect(first.connections).toHaveLength(1);
  });
});

/** A TLS server that accepts every CONNECT; what it has seen of each handshake. */
async function tlsServer(files: { keyFile: string; certFile: string }) {
  const seen: { alpn: string | false; name: string | false }[] = [];
  const server = createServer(
    {
      key: readFileSync(files.keyFile),
      cert: readFileSync(files.certFile),
      ALPNProtocols: ["x-amzn-mqtt-ca"],
    },
    (socket: TLSSocket) => {
      seen.push({
        alpn: socket.alpnProtocol ?? false,
        name: "servername" in socket ? String(socket.servername) : false,
      });
      socket.on("error", () => socket.destroy());
      socket.once("data", () => socket.write(CONNACK_OK));
    },
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const tcpPort = typeof address === "object" && address !== null ? address.port : 0;
  return {
    seen,
    tcpPort,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe("TLS of a link", () => {
  it("offers the configured protocols (ALPN) and name (SNI)", async () => {
    const { caFile, server } = makeCertificates();
    await using cloud = await tlsServer(server);
    await using test = await TestBridge.start({
      server: `mqtts://127.0.0.1:${cloud.tcpPort}`,
      tls: { ...TLS, ca_file: caFile, server_name: "localhost", alpn: ["x-amzn-mqtt-ca"] },
    });
    await test.connected();
    expect(cloud.seen).toEqual([{ alpn: "x-amzn-mqtt-ca", name: "localhost" }]);
  });

  it("knows when its certificates end, and raises an alarm when that is near", async () => {
    const { caFile, server, client } = makeCertificates();
    const raised: string[] = [];
    await using cloud = await tlsServer(server);
    await using test = await TestBridge.start(
      {
        server: `mqtts://localhost:${cloud.tcpPort}`,
        tls: { ...TLS, ca_file: caFile, cert_file: client.certFile, key_file: client.keyFile },
      },
      { alarms: { raise: (name) => raised.push(name), clear: () => {} } },
    );
    await test.connected();
    const roles = test.status().certificates.map(({ role, expiresMs }) => {
      expect(expiresMs - Date.now()).toBeGreaterThan(86_400_000);
      expect(expiresMs - Date.now()).toBeLessThan(2 * 86_400_000 + 1000);
      return role;
    });
    expect(roles.toSorted()).toEqual(["ca", "client", "server"]);
    // They were made for two days: the alarm of 7 days.
    expect(raised.toSorted()).toEqual([
      "bridge_certificate_cloud_ca",
      "bridge_certificate_cloud_client",
      "bridge_certificate_cloud_server",
    ]);
  });

  it("connects anew with renewed files, and keeps its connection when they are no use", async () => {
    const { copyFileSync, writeFileSync } = await import("node:fs");
    const old = makeCertificates();
    const renewed = makeCertificates();
    await using cloud = await tlsServer(old.server);
    await using test = await TestBridge.start({
      server: `mqtts://localhost:${cloud.tcpPort}`,
      tls: {
        ...TLS,
        ca_file: old.caFile,
        cert_file: old.client.certFile,
        key_file: old.client.keyFile,
      },
      forwards: [forward("#")],
    });
    await test.connected();
    await test.bridge.renewCertificates();
    expect(cloud.seen).toHaveLength(1);

    writeFileSync(old.client.certFile, "no PEM");
    await test.bridge.renewCertificates();
    expect(test.status().state).toBe("connected");
    expect(test.lines.at(-1)).toMatchObject({
      level: "error",
      msg: "the bridge's TLS files cannot be used, its connection stays",
    });

    copyFileSync(renewed.client.certFile, old.client.certFile);
    copyFileSync(renewed.client.keyFile, old.client.keyFile);
    await test.bridge.renewCertificates();
    await eventually(() => expect(cloud.seen).toHaveLength(2));
    await test.connected();
  });
});

const TLS = {
  verify: true,
  ca_file: null,
  cert_file: null,
  key_file: null,
  key_password: null,
  server_name: null,
  alpn: [],
};
