import { execFile } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { makeCertificates, readPem } from "../helpers/certificates.ts";
import { freeTcpPort } from "../helpers/free-tcp-port.ts";
import { startGateway } from "../helpers/gateway-process.ts";
import { v1 } from "../helpers/http.ts";
import { connectDevice } from "../helpers/mqtt.ts";

const run = promisify(execFile);

it("TLS switched on by request 12 with PEM texts serves only clients with a certificate", async () => {
  const gateway = await startGateway({ supervised: true });
  const { caFile, server, client } = makeCertificates();
  const tlsPort = await freeTcpPort();
  const wssPort = await freeTcpPort();
  const answer = await v1(gateway.ports.http, {
    req: 12,
    data: {
      tls: {
        enable: true,
        url: `tls+nmq-tcp://127.0.0.1:${tlsPort}`,
        key: readPem(server.keyFile),
        cert: readPem(server.certFile),
        cacert: readPem(caFile),
        verify_peer: true,
        fail_if_no_peer_cert: true,
      },
      websocket: { tls_url: `nmq-wss://127.0.0.1:${wssPort}/mqtt` },
    },
  });
  expect(answer.body).toEqual({ code: 0, seq: 1, rep: 12 });
  const { ports } = await gateway.readyAgain(gateway.readyAt);
  expect(ports).toMatchObject({ tls: tlsPort, wss: wssPort });

  const { data } = (await v1(ports.http, { req: 11 })).body;
  expect(data).toMatchObject({ tls: { key: "******", cert: readPem(server.certFile) } });
  expect(statSync(join(gateway.dataDir, "config/current.yaml")).mode & 0o777).toBe(0o600);

  const device = await connectDevice(ports.tcp, { subscribe: ["t"] });
  const target = ["-h", "localhost", "-p", String(tlsPort), "-t", "t", "-m", "hello", "-q", "1"];
  const identity = ["--cert", client.certFile, "--key", client.keyFile];
  await run("mosquitto_pub", [...target, "--cafile", caFile, ...identity]);
  expect(await device.receives(1)).toMatchObject([{ topic: "t", payload: "hello" }]);

  await expect(run("mosquitto_pub", [...target, "--cafile", caFile])).rejects.toThrow();
  const web = await connectDevice(wssPort, {
    protocol: "wss",
    path: "/mqtt",
    ca: readPem(caFile),
    cert: readPem(client.certFile),
    key: readPem(client.keyFile),
  });
  await web.client.publishAsync("t", "over WebSocket", { qos: 1 });
  expect(await device.receives(2)).toMatchObject([{}, { payload: "over WebSocket" }]);
});
