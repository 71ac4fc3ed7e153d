import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startGateway, TEST_CONFIG } from "../helpers/gateway-process.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const MAIN = join(import.meta.dirname, "../../src/main.ts");
const WITHOUT_PASSWORD = TEST_CONFIG.replace(", password: public", "");

async function statusOf(tcpPort: number, password: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${tcpPort}/api/v1`, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`admin:${password}`)}`, connection: "close" },
    body: '{"req": 2, "seq": 1}',
  });
  await answer.arrayBuffer();
  return answer.status;
}

test("a provisioned password takes the place of the one the device made, and its file goes", async () => {
  const first = await startGateway({ config: WITHOUT_PASSWORD });
  const { dataDir } = first;
  const made = readFileSync(join(dataDir, "admin-password"), "utf8").trim();
  expect(await statusOf(first.ports.http, made)).toBe(200);
  await first.child.kill("SIGTERM");

  const file = join(tempDir(), "tidegate.yaml");
  writeFileSync(file, `\ufeff${TEST_CONFIG.replace("password: public", "password: mine")}`);
  const config = execFileSync(process.execPath, [MAIN, "provision", file, "--data", dataDir], {
    encoding: "utf8",
  });
  expect(config).not.toContain("mine");
  // Not installed yet: the gateway starts as before.
  const before = await startGateway({ config: WITHOUT_PASSWORD, dataDir });
  expect(await statusOf(before.ports.http, made)).toBe(200);
  await before.child.kill("SIGTERM");

  const after = await startGateway({ config, dataDir });
  expect(await statusOf(after.ports.http, "mine")).toBe(200);
  expect(await statusOf(after.ports.http, made)).toBe(401);
  await until(
    "the first password's file to go",
    () => !existsSync(join(dataDir, "admin-password")),
  );
}, 60_000);

test("a file that is valid but does not come up gives way to the one before by itself", async () => {
  const dataDir = join(tempDir(), "data");
  const inForce = join(tempDir(), "tidegate.yaml");
  writeFileSync(inForce, TEST_CONFIG);
  const file = join(tempDir(), "tidegate.yaml");
  writeFileSync(file, TEST_CONFIG.replace("tcp: {bind: 127.0.0.1", "tcp: {bind: 192.0.2.9"));
  const args = [MAIN, "provision", file, "--config", inForce, "--data", dataDir];
  const config = execFileSync(process.execPath, args, { encoding: "utf8" });
  expect(config).toContain("192.0.2.9");

  const gateway = await startGateway({ config, dataDir, supervised: true });
  expect(await statusOf(gateway.ports.http, "public")).toBe(200);
  const log = gateway.child.output();
  expect(log).toContain("operator's file taken back");
  expect(log).toMatch(/2 starts with the file from the boot partition failed: [^"]*192\.0\.2\.9/);
}, 60_000);

test("a file that cannot be used ends in 78, with a line for each fault and nothing to install", () => {
  const file = join(tempDir(), "tidegate.yaml");
  writeFileSync(file, "msq_len: many\nhttp: {password: 12345}\n");
  try {
    execFileSync(process.execPath, [MAIN, "provision", file, "--data", tempDir()], {
      stdio: "pipe",
    });
    expect.unreachable();
  } catch (err) {
    const { status, stdout, stderr } = err as { status: number; stdout: Buffer; stderr: Buffer };
    expect([status, stdout.toString()]).toEqual([78, ""]);
    expect(stderr.toString().trim().split("\n").sort()).toEqual([
      expect.stringMatching(/^http\.password: \*{6} is not valid in tidegate\.yaml; expected/),
      expect.stringMatching(/^msq_len: many is not valid in tidegate\.yaml; expected/),
    ]);
  }
});

test("the other programs of the device find the ports in the run-time directory", async () => {
  const directory = join(tempDir(), "run");
  mkdirSync(directory);
  const gateway = await startGateway({ env: { RUNTIME_DIRECTORY: directory } });
  const lines = readFileSync(join(directory, "ports"), "utf8").trim().split("\n").sort();
  const { tcp, ws, http } = gateway.ports;
  expect(lines).toEqual([`http=${http}`, `tcp=${tcp}`, `ws=${ws}`]);
  expect(statSync(join(directory, "ports")).isFile()).toBe(true);
});

test("a device whose certificate could not be made serves everything but TLS", async () => {
  const defaults = join(tempDir(), "defaults.yaml");
  const missing = join(tempDir(), "device");
  writeFileSync(
    defaults,
    `listeners: {tls: {enable: true, port: 0}}\ntls: {key_file: ${missing}.key, cert_file: ${missing}.crt}\n`,
  );
  const gateway = await startGateway({ env: { TIDEGATE_DEFAULTS: defaults } });
  expect(await statusOf(gateway.ports.http, "public")).toBe(200);
  expect(gateway.child.output()).toContain(`${missing}.`);
});
