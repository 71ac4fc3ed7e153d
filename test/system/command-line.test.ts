import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startChild } from "../helpers/child.ts";
import { startGateway, TEST_CONFIG } from "../helpers/gateway-process.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const MAIN = join(import.meta.dirname, "../../src/main.ts");

function tidegate(args: readonly string[], input = "") {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    encoding: "utf8",
    input,
    timeout: 15_000,
  });
  return { status, stdout, stderr };
}

function configFile(content: string): string {
  const path = join(tempDir(), "tidegate.yaml");
  writeFileSync(path, content);
  return path;
}

describe("tidegate", () => {
  it("check names every fault with key, value and what was expected, and ends with 78", () => {
    const file = configFile("listeners: {tcp: {port: 70000}}\nmsq_len: many\nno_such_key: 1\n");
    const { status, stderr } = tidegate(["check", file]);
    expect(status).toBe(78);
    expect(stderr).toMatch(/listeners\.tcp\.port: 70000 .* a whole number from 0 to 65535/);
    expect(stderr).toMatch(/msq_len: many/);
    expect(stderr).toMatch(/no_such_key/);
  });

  it("check accepts the file that documents every key", () => {
    const { status, stdout } = tidegate(["check", join(MAIN, "../../etc/tidegate.yaml")]);
    expect(status).toBe(0);
    expect(stdout).toContain("is valid");
  });

  it("import prints NanoMQ's configuration as one that check accepts, and names what is left", () => {
    const conf = "url=nmq-tcp://0.0.0.0:1883\nmsq_len=64\nweb.hook.enable=true\n";
    const file = join(tempDir(), "nanomq.conf");
    writeFileSync(file, conf);
    const { status, stdout, stderr } = tidegate(["import", file]);
    expect([status, stderr]).toEqual([0, "web.hook.enable: not taken over\n"]);
    expect(tidegate(["check", configFile(stdout)]).status).toBe(0);
    expect(stdout).toContain("msq_len: 64\n");

    writeFileSync(file, "mqtt { max_mqueue_len = [");
    expect(tidegate(["import", file])).toMatchObject({ status: 78, stdout: "" });
    writeFileSync(file, "http_server.port=99999\n");
    const refused = tidegate(["import", file]);
    expect([refused.status, refused.stdout]).toEqual([78, ""]);
    expect(refused.stderr).toMatch(/http\.port: 99999 /);
  }, 60_000);

  it("hash-password makes a hash that the gateway's configuration takes", async () => {
    const { status, stdout } = tidegate(["hash-password"], "s3cret\n");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^scrypt\$/);
    expect(stdout).not.toContain("s3cret");
    const users = `auth: {users: [{username: ann, password: "${stdout.trim()}"}]}`;
    const config = TEST_CONFIG.replace("auth: {allow_anonymous: true}", users);
    const gateway = await startGateway({ config });
    const publish = (password: string) =>
      spawnSync("mosquitto_pub", [
        ...["-p", String(gateway.ports.tcp), "-t", "t", "-m", "m", "-q", "1"],
        ...["-u", "ann", "-P", password],
      ]).status;
    expect(publish("s3cret")).toBe(0);
    expect(publish("public")).not.toBe(0);
  });

  it("run with an unusable configuration says why and ends with 78", () => {
    const args = ["run", "--data", tempDir(), "--config"];
    const { status, stdout, stderr } = tidegate([...args, configFile("http: {port: -1}\n")]);
    expect(status).toBe(78);
    expect(stdout + stderr).toMatch(/http\.port: -1/);
  });

  it("run with a bridge that would loop says which rules and ends with 78", () => {
    const config = `${TEST_CONFIG}
bridges:
  up:
    server: mqtt://127.0.0.1
    forwards: [{local_topic: "a/#"}]
    subscription: [{remote_topic: "a/b"}]
`;
    const { status, stdout } = tidegate([
      "run",
      "--data",
      tempDir(),
      "--config",
      configFile(config),
    ]);
    expect(status).toBe(78);
    expect(stdout).toMatch(/bridges\.up\.forwards: a\/# .* subscription a\/b/);
  });

  it("run twice on one data directory ends the second with a clear reason", async () => {
    const first = await startGateway();
    const second = startChild(process.execPath, [
      ...[MAIN, "run", "--config", configFile(TEST_CONFIG), "--data", first.dataDir],
    ]);
    expect((await second.exited).code).toBe(70);
    expect(second.output()).toMatch(/in use by another process/);
    expect(first.child.process.exitCode).toBeNull();
  });

  it("prints its usage and its version", () => {
    expect(tidegate(["--help"]).stdout).toContain("tidegate run");
    expect(tidegate(["--version"]).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    const { status, stderr } = tidegate(["rnu"]);
    expect(status).toBe(78);
    expect(stderr).toContain("rnu");
  });
});
