import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { GatewayError } from "../errors/index.ts";
import { messageOf, put, testDirectory, testGateway } from "./config.testing.ts";
import { configErrors } from "./config-errors.ts";
import { checkFile, loadConfig } from "./load.ts";

describe("loading", () => {
  test("without any file the defaults hold", () => {
    const { input } = testGateway();
    const loaded = loadConfig({ ...input, configFile: "/dev/null" });
    expect(loaded.config.listeners.tcp.port).toBe(1883);
    expect(loaded.currentBytes).toBeNull();
  });

  test("files, environment and command line are read in this order", async () => {
    const { input, paths } = testGateway("msq_len: 1\nhttp: {port: 1}\nlog: {level: warn}\n");
    await put(paths.current, "http: {port: 2}\nlog: {level: error}\n");
    const { config, operatorFile } = loadConfig({
      ...input,
      env: { TIDEGATE_LOG_LEVEL: "debug", HOME: "/", TIDEGATE_DATA: "x", TIDEGATE_CONFIG: "y" },
      options: new Map([["log.level", "trace"]]),
    });
    expect([config.msq_len, config.http.port, config.log.level]).toEqual([1, 2, "trace"]);
    expect(operatorFile).toBe(input.configFile);
  });

  test("an operator's file that was named must exist", async () => {
    const { input } = testGateway();
    const configFile = join(input.dataDir, "none.yaml");
    expect(await messageOf(() => loadConfig({ ...input, configFile }))).toBe(
      `CONFIG_FILE_UNREADABLE configuration file ${configFile} cannot be read: there is no such file`,
    );
  });

  test("what is no regular file is refused, and nobody waits for a FIFO", async () => {
    const directory = testDirectory();
    const fifo = join(directory, "fifo");
    execFileSync("mkfifo", [fifo]);
    const { input } = testGateway();
    for (const configFile of [directory, fifo]) {
      expect(await messageOf(() => loadConfig({ ...input, configFile }))).toContain(
        "it is not a regular file",
      );
    }
    expect(await messageOf(() => loadConfig({ ...input, configFile: "/dev/zero" }))).toContain(
      "expected at most 1048576",
    );
  });

  test("a symbolic link is followed", () => {
    const { input } = testGateway("msq_len: 7\n");
    mkdirSync(input.dataDir);
    const link = join(input.dataDir, "link.yaml");
    symlinkSync(input.configFile, link);
    expect(loadConfig({ ...input, configFile: link }).config.msq_len).toBe(7);
  });

  test("an error names key, value, what was expected, and the file or the variable", async () => {
    const { input, paths } = testGateway("listeners:\n  tcp:\n    port: 70000\n");
    expect(await messageOf(() => loadConfig(input))).toBe(
      `CONFIG_VALUE_INVALID listeners.tcp.port: 70000 is not valid in ${input.configFile}; expected a whole number from 0 to 65535`,
    );
    await put(input.configFile, "");
    await put(paths.current, "msq_len: many\n");
    expect(await messageOf(() => loadConfig(input))).toBe(
      `CONFIG_VALUE_INVALID msq_len: many is not valid in ${paths.current}; expected a whole number from 1 to 1000000`,
    );
    await put(paths.current, "");
    expect(await messageOf(() => loadConfig({ ...input, env: { TIDEGATE_MSQ_LEN: "0" } }))).toBe(
      "CONFIG_VALUE_INVALID msq_len: 0 is not valid in environment variable TIDEGATE_MSQ_LEN; expected a whole number from 1 to 1000000",
    );
    const options = new Map([["log.level", "loud"]]);
    expect(await messageOf(() => loadConfig({ ...input, options }))).toContain(
      "log.level: loud is not valid in command line option --log.level; expected one of fatal",
    );
  });

  test("an unknown variable of ours is refused with the one that was probably meant", async () => {
    const { input } = testGateway();
    const env = { TIDEGATE_LISTENER_TCP_PORT: "1", TIDEGATE_QQQQQQQQQQQQQQQQQQQQQQQ: "1" };
    const errors = await errorsOf(() => loadConfig({ ...input, env }));
    expect(errors).toEqual([
      'TIDEGATE_LISTENER_TCP_PORT: unknown key with value "1" in the environment; did you mean TIDEGATE_LISTENERS_TCP_PORT?',
      'TIDEGATE_QQQQQQQQQQQQQQQQQQQQQQQ: unknown key with value "1" in the environment; expected a key in upper case',
    ]);
  });

  test("names that every object has are unknown keys", async () => {
    for (const name of ["__proto__", "constructor", "toString"]) {
      const { input } = testGateway(
        `${name}: {polluted: true}\nlog: {${name}: {polluted: true}}\n`,
      );
      const errors = await errorsOf(() => loadConfig(input));
      expect(errors[0]).toContain(`${name}: unknown key with value an object`);
      expect(errors[1]).toContain(`log.${name}: unknown key with value an object`);
      expect("polluted" in {}).toBe(false);
    }
  });

  test.each([
    "http: {password: 12345678}",
    "http: {password: [geheim]}",
    "http: {pasword: geheim}",
    "http: geheim",
    "http: [geheim]",
    "http: {password: '******'}",
    'http: {password: "geheim\\u0001"}',
    "auth: {users: geheim}",
    "auth: {users: [geheim]}",
    "auth: {users: {ann: geheim}}",
    "auth: {users: [{username: ann, password: 12345678}]}",
    "auth: {users: [{username: ann, passwd: geheim}]}",
    "auth: {users: [{username: ann, password: {geheim: 1}}]}",
    "auth: {users: [{password: geheim}]}",
    "bridges: geheim",
    "bridges: {cloud: geheim}",
    "bridges: {cloud: {server: 'mqtt://h', password: 12345678}}",
    "bridges: {_: geheim}",
    "tls: {key_password: false, key_passwort: geheim}",
    "password: geheim",
  ])("no secret stands in an error: %s", async (text) => {
    const { input } = testGateway(text);
    for (const error of await errorsOf(() => loadConfig(input))) {
      expect(error).not.toMatch(/geheim|12345678/);
    }
    const variable = { TIDEGATE_HTTP_PASSWORD: "geheim\u0001", TIDEGATE_HTTP_PASSWROD: "geheim" };
    await put(input.configFile, "");
    for (const error of await errorsOf(() => loadConfig({ ...input, env: variable }))) {
      expect(error).not.toContain("geheim");
    }
  });

  test("every fault of a file is reported, up to a hundred", async () => {
    const { input } = testGateway("msq_len: 0\nlog: {level: x}\nacl: {no_match: 1}\n");
    expect(await errorsOf(() => loadConfig(input))).toHaveLength(3);
    const users = Array.from({ length: 5000 }, () => "  - 1\n").join("");
    await put(input.configFile, `auth:\n users:\n${users}`);
    expect(await errorsOf(() => loadConfig(input))).toHaveLength(100);
  });

  test("a group whose keys are all comments is fine", () => {
    const { input } = testGateway("log:\n#  level: info\nbridges:\nauth:\n  users:\n");
    expect(loadConfig(input).config.log.level).toBe("info");
  });
});

describe("checking a file", () => {
  test("a good file has no fault", () => {
    const { input } = testGateway("bridges:\n  cloud:\n    server: mqtts://broker.example\n");
    expect(checkFile(input.configFile)).toEqual([]);
  });

  test("every fault is listed with a hint for unknown keys", () => {
    const { input } = testGateway(
      "log: {levle: info}\nallow_anonymous: true\nlisteners: {tcp: {port: '1883'}}\n",
    );
    expect(checkFile(input.configFile).map(({ message }) => message)).toEqual([
      `log.levle: unknown key with value info in ${input.configFile}; did you mean log.level?`,
      `allow_anonymous: unknown key with value true in ${input.configFile}; did you mean auth.allow_anonymous?`,
      `listeners.tcp.port: "1883" is not valid in ${input.configFile}; expected a whole number from 0 to 65535`,
    ]);
  });

  test("a file that is missing or no YAML has that one fault", () => {
    const { input } = testGateway("a: [\n");
    expect(checkFile(input.configFile)).toMatchObject([{ code: "CONFIG_SYNTAX" }]);
    expect(checkFile(join(input.dataDir, "none"))).toMatchObject([
      { code: "CONFIG_FILE_UNREADABLE" },
    ]);
  });
});

async function errorsOf(action: () => unknown): Promise<string[]> {
  try {
    action();
  } catch (err) {
    if (err instanceof GatewayError) return configErrors(err).map(({ message }) => message);
    throw err;
  }
  throw new Error("expected a GatewayError, but nothing was thrown");
}
