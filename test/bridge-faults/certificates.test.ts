import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { expect } from "vitest";
import { Canary, expectUndisturbed, songOf } from "../faults/canary.ts";
import { faultTest, scaled } from "../faults/fault-test.ts";
import { freeTcpPort } from "../helpers/free-tcp-port.ts";
import { type GatewayProcess, startGateway } from "../helpers/gateway-process.ts";
import { startMosquitto } from "../helpers/mosquitto.ts";
import { Authority, type Pair } from "../helpers/odd-certificates.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

/** Mosquitto with a TLS listener for each pair. */
async function startCloud(pairs: readonly Pair[]): Promise<readonly number[]> {
  const ports = await Promise.all(pairs.map(() => freeTcpPort()));
  const lines = pairs.flatMap(({ keyFile, certFile }, at) => [
    `listener ${ports[at]} 127.0.0.1`,
    `certfile ${certFile}`,
    `keyfile ${keyFile}`,
  ]);
  await startMosquitto({ lines: ["user root", ...lines] });
  return ports;
}

async function ask(gateway: GatewayProcess, path: string): Promise<unknown> {
  const answer = await fetch(`http://127.0.0.1:${gateway.ports.http}/api/${path}`, {
    headers: { authorization: `Basic ${btoa("admin:public")}`, connection: "close" },
  });
  return answer.json();
}

async function linkOf(gateway: GatewayProcess, bridge: string) {
  const { data } = (await ask(gateway, `v4/bridges/${bridge}`)) as {
    data: { bridge: { nodes: { status: { state: string; last_error: string | null } }[] } };
  };
  return data.bridge.nodes[0]?.status;
}

const BASE = `
http: {bind: 127.0.0.1, port: 0, emqx_port: null, password: public}
auth: {allow_anonymous: true}
`;

faultTest(
  "whatever is wrong with certificates towards the cloud, the LAN goes on and the reason is named",
  { short: 60_000, long: 300_000 },
  async ({ report }) => {
    const authority = new Authority("cloud");
    const other = new Authority("other");
    const good = authority.sign("localhost");
    const [fine = 0, expired = 0, early = 0, named = 0, stranger = 0] = await startCloud([
      good,
      authority.sign("localhost", -10, -1),
      authority.sign("localhost", 1),
      authority.sign("elsewhere.test"),
      other.sign("localhost"),
    ]);
    const locked = authority.sign("client", -1, 10, "open sesame");
    const dir = tempDir();
    const [caFile, nowhere] = [join(dir, "ca.pem"), join(dir, "absent.key")];
    copyFileSync(authority.certFile, caFile);
    const to = (port: number, more: object = {}) => ({
      server: `mqtts://127.0.0.1:${port}`,
      backoff_min_s: 1,
      backoff_max_s: 2,
      forwards: [{ local_topic: "up/#" }],
      tls: { ca_file: authority.certFile, ...more },
    });
    const client = { cert_file: locked.certFile, key_file: locked.keyFile };
    const bridges = {
      fine: to(fine, { ca_file: caFile }),
      expired: to(expired),
      early: to(early),
      named: to(named),
      stranger: to(stranger),
      absent: to(fine, { ...client, key_file: nowhere }),
      folder: to(fine, { ...client, key_file: dir }),
      locked: to(fine, { ...client, key_password: "wrong" }),
      mismatch: to(fine, { ...client, key_file: good.keyFile }),
    };
    const expected: readonly (readonly [string, RegExp])[] = [
      ["expired", /certificate of 127\.0\.0\.1:\d+ has expired, or the clock is wrong/],
      ["early", /certificate of 127\.0\.0\.1:\d+ is not valid yet, or the clock is wrong/],
      ["named", /certificate of 127\.0\.0\.1:\d+ is for another name.*tls\.server_name/],
      ["stranger", /is not signed by an authority known here, see tls\.ca_file/],
      ["absent", /tls\.key_file .*absent\.key cannot be used/],
      ["folder", /tls\.key_file .* cannot be used/],
      ["locked", /tls\.key_file .* cannot be used: tls\.key_password does not open it/],
      ["mismatch", /tls\.key_file .* cannot be used: it does not fit tls\.cert_file/],
    ];
    const listeners = "listeners: {tcp: {bind: 127.0.0.1, port: 0}, ws: {enable: false}}";
    const gateway = await startGateway({
      config: `${BASE}${listeners}\nbridges: ${JSON.stringify(bridges)}\n`,
    });
    const canary = await Canary.start(gateway.ports.tcp);
    for (const [bridge, words] of expected) {
      await until(
        `the reason of ${bridge}`,
        async () => words.test((await linkOf(gateway, bridge))?.last_error ?? ""),
        20_000,
      );
      const lines = gateway.child.output().split("\n");
      const told = (message: string, name: string) =>
        lines.some((line) => line.includes(message) && line.includes(name) && words.test(line));
      expect([bridge, told("bridge cannot connect", `"${bridge}"`)]).toEqual([bridge, true]);
      expect([bridge, told("alarm raised", `bridge_certificate_${bridge}_tls`)]).toEqual([
        bridge,
        true,
      ]);
    }
    const isUp = async () => (await linkOf(gateway, "fine"))?.state === "connected";
    await until("the good one", isUp, 20_000);
    // The authority changes under a link that is up: unusable, another one, and back.
    for (let round = 0; round < scaled(1, 20); round++) {
      const from = gateway.child.output().length;
      const said = () => gateway.child.output().slice(from);
      const reload = () => gateway.child.process.kill("SIGHUP");
      writeFileSync(caFile, "garbage");
      reload();
      await until("the fault", () => /tls\.ca_file .*"alarm raised"/.test(said()), 10_000);
      expect(await isUp()).toBe(true);
      copyFileSync(other.certFile, caFile);
      reload();
      await until("the refusal", async () => !(await isUp()), 10_000);
      await until(
        "the words",
        async () => /see tls\.ca_file/.test((await linkOf(gateway, "fine"))?.last_error ?? ""),
        10_000,
      );
      copyFileSync(authority.certFile, caFile);
      await until("the link again", isUp, 20_000);
      await until("the end of the alarm", () => isOver(said(), "fine"), 10_000);
    }
    const measured = await canary.stop();
    report({ faults: expected.length, ...songOf(measured) });
    expectUndisturbed(measured);
  },
);

function isOver(output: string, bridge: string): boolean {
  const lines = output.split("\n").filter((it) => it.includes(`bridge_certificate_${bridge}_tls`));
  return lines.at(-1)?.includes("alarm cleared") === true;
}

faultTest(
  "whatever is wrong with the gateway's own certificates, plain clients are served and the reason is named",
  { short: 60_000, long: 120_000 },
  async ({ report }) => {
    const authority = new Authority("device");
    const other = new Authority("other");
    const dir = tempDir();
    const files = { keyFile: join(dir, "own.key"), certFile: join(dir, "own.pem") };
    const put = (pair: Pair) => {
      copyFileSync(pair.keyFile, files.keyFile);
      copyFileSync(pair.certFile, files.certFile);
    };
    const good = authority.sign("localhost");
    put(good);
    writeFileSync(files.keyFile, "");
    const tlsPort = await freeTcpPort();
    const gateway = await startGateway({
      config: `${BASE}
listeners:
  tcp: {bind: 127.0.0.1, port: 0}
  ws: {enable: false}
  tls: {enable: true, bind: 127.0.0.1, port: ${tlsPort}}
tls: {key_file: ${files.keyFile}, cert_file: ${files.certFile}}
`,
    });
    const canary = await Canary.start(gateway.ports.tcp);
    const reload = () => gateway.child.process.kill("SIGHUP");
    let from = 0;
    const said = (words: RegExp) =>
      until(String(words), () => words.test(gateway.child.output().slice(from)), 10_000);
    const next = () => {
      from = gateway.child.output().length;
    };
    await said(/a listener stays closed, its TLS files cannot be used/);
    await said(/listener_tls\/tls.*tls\.key_file.*"alarm raised"/);
    expect(await served(tlsPort, authority.certFile)).toMatch(/ECONNREFUSED/);
    put(good);
    reload();
    await until(
      "TLS",
      async () => (await served(tlsPort, authority.certFile)) === "localhost",
      10_000,
    );
    let rounds = 0;
    for (; rounds < scaled(1, 20); rounds++) {
      next();
      writeFileSync(files.keyFile, "garbage");
      reload();
      await said(/goes on with its old TLS files: .*tls\.key_file/);
      expect(await served(tlsPort, authority.certFile)).toBe("localhost");
      const odd: readonly (readonly [Pair, string])[] = [
        [authority.sign("localhost", -10, -1), "CERT_HAS_EXPIRED"],
        [authority.sign("localhost", 1), "CERT_NOT_YET_VALID"],
        [authority.sign("elsewhere.test"), "ERR_TLS_CERT_ALTNAME_INVALID"],
        [other.sign("localhost"), "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
        [good, "localhost"],
      ];
      // What clients refuse is served all the same: who may come in is theirs to judge.
      for (const [pair, answer] of odd) {
        put(pair);
        reload();
        await until(
          answer,
          async () => (await served(tlsPort, authority.certFile)) === answer,
          10_000,
        );
      }
    }
    const measured = await canary.stop();
    report({ rounds, ...songOf(measured) });
    expectUndisturbed(measured);
  },
);

/** What a client that trusts `caFile` sees at a port: the certificate's name, or the error's code. */
async function served(tcpPort: number, caFile: string): Promise<string> {
  const socket = connectTls({
    host: "127.0.0.1",
    servername: "localhost",
    port: tcpPort,
    ca: readFileSync(caFile),
  });
  try {
    return await new Promise<string>((resolve) => {
      socket.once("secureConnect", () => resolve(String(socket.getPeerCertificate().subject.CN)));
      socket.once("error", (err) => resolve("code" in err ? String(err.code) : err.message));
    });
  } finally {
    socket.destroy();
  }
}
