import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { makeCertificates } from "../../test/helpers/certificates.ts";
import { messageOf, put, testDirectory, testGateway } from "./config.testing.ts";
import { checkFile, loadConfig } from "./load.ts";

function pair() {
  const { server, client } = makeCertificates();
  return { key: server.keyFile, cert: server.certFile, otherKey: client.keyFile };
}

/** A gateway on an appliance with these defaults. */
function appliance(defaults: string, operatorText = "") {
  const { input, paths } = testGateway(operatorText);
  const file = join(testDirectory(), "defaults.yaml");
  writeFileSync(file, defaults);
  return { paths, input: { ...input, env: { TIDEGATE_DEFAULTS: file } } };
}

describe("the appliance's defaults", () => {
  test("beat the schema's, and every other layer beats them", async () => {
    const { input, paths } = appliance(
      "msq_len: 1\nhttp: {port: 1, emqx_port: 1}\nlog: {level: warn}\nbridges: {a: {server: mqtt://vendor}, b: {server: mqtt://vendor}}\n",
      "http: {port: 2, emqx_port: 2}\nbridges: {b: {server: mqtt://operator}}\n",
    );
    await put(paths.current, "http: {emqx_port: 3}\n");
    const { config } = loadConfig({ ...input, env: { ...input.env, TIDEGATE_LOG_LEVEL: "error" } });
    expect([config.msq_len, config.http.port, config.http.emqx_port]).toEqual([1, 2, 3]);
    expect(config.log.level).toBe("error");
    expect([config.bridges["a"]?.server, config.bridges["b"]?.server]).toEqual([
      "mqtt://vendor",
      "mqtt://operator",
    ]);
  });

  test("are none where there is no such file", () => {
    const { input } = testGateway();
    const env = { TIDEGATE_DEFAULTS: join(input.dataDir, "none.yaml") };
    const loaded = loadConfig({ ...input, env });
    expect(loaded.config).toEqual(loadConfig(input).config);
    expect(loaded.vendorProblem).toBeNull();
  });

  test("are checked as any other file", async () => {
    const { input } = appliance("msq_len: none\n");
    expect(await messageOf(() => loadConfig(input))).toContain("msq_len: none is not valid in");
  });

  test("mean nothing to a check of the operator's file by itself", () => {
    const { input } = appliance("http: {port: 1}\n", "msq_len: 5\n");
    expect(checkFile(input.configFile)).toEqual([]);
  });

  test("enable TLS only while key and certificate are there and fit", () => {
    const { key, cert, otherKey } = pair();
    const defaults = (keyFile: string, certFile: string) =>
      `listeners: {tls: {enable: true}, wss: {enable: true}}\nmsq_len: 9\ntls: {key_file: ${keyFile}, cert_file: ${certFile}}\n`;
    const whole = loadConfig(appliance(defaults(key, cert)).input);
    expect(whole.vendorProblem).toBeNull();
    expect(whole.config.listeners.tls.enable).toBe(true);
    expect(whole.config.tls.cert_file).toBe(cert);
    const cut = join(testDirectory(), "cut.crt");
    writeFileSync(cut, "-----BEGIN CERTIFICATE-----\n\0\0\0");
    for (const [keyFile, certFile] of [
      [join(testDirectory(), "none"), cert],
      [key, join(testDirectory(), "none")],
      [key, cut],
      [otherKey, cert],
    ] as const) {
      const { config, vendorProblem } = loadConfig(appliance(defaults(keyFile, certFile)).input);
      expect(vendorProblem).toContain(certFile);
      expect([config.listeners.tls.enable, config.listeners.wss.enable]).toEqual([false, false]);
      expect(config.tls.key_file).toBeNull();
      expect(config.msq_len).toBe(9);
    }
  });

  test("without a certificate leave alone what the operator says about TLS", () => {
    const { key, cert } = pair();
    const { input } = appliance(
      "listeners: {tls: {enable: true}}\ntls: {key_file: /none, cert_file: /none}\n",
      `listeners: {tls: {enable: true}}\ntls: {key_file: ${key}, cert_file: ${cert}}\n`,
    );
    const { config } = loadConfig(input);
    expect(config.listeners.tls.enable).toBe(true);
    expect(config.tls.key_file).toBe(key);
  });
});
