import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { messageOf, put, testDirectory, testGateway } from "./config.testing.ts";
import { checkFile, loadConfig } from "./load.ts";

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
    expect(loadConfig({ ...input, env }).config).toEqual(loadConfig(input).config);
  });

  test("are checked as any other file", async () => {
    const { input } = appliance("msq_len: none\n");
    expect(await messageOf(() => loadConfig(input))).toContain("msq_len: none is not valid in");
  });

  test("mean nothing to a check of the operator's file by itself", () => {
    const { input } = appliance("http: {port: 1}\n", "msq_len: 5\n");
    expect(checkFile(input.configFile)).toEqual([]);
  });
});
