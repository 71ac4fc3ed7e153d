import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { tempDir } from "../../test/helpers/temp-dir.ts";
import { createLog } from "../log/index.ts";
import { createProbe, loopbackOf } from "./index.ts";

const log = createLog({ level: "fatal" });
const NOTHING = { http: null, mqtt: null, healthyS: 300 };

async function announced(directory: string): Promise<Map<string, string>> {
  const text = await readFile(join(directory, "probe"), "utf8");
  return new Map(
    text
      .trimEnd()
      .split("\n")
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
}

it("tells where to go and how to log in, for root and the gateway only", async () => {
  const directory = tempDir();
  const probe = createProbe({ log }, directory);
  const http = { host: "127.0.0.1", tcpPort: 8081, isTls: false };
  await probe.announce({ http, mqtt: null, healthyS: 300 });
  const found = await announced(directory);
  expect(found.get("http_port")).toBe("8081");
  expect(found.get("http_tls")).toBe("no");
  expect(found.get("mqtt_port")).toBe("");
  expect(found.get("healthy_s")).toBe("300");
  expect((await stat(join(directory, "probe"))).mode & 0o777).toBe(0o600);
  await probe.stop();
  await expect(announced(directory)).rejects.toThrow("ENOENT");
});

it("told again and again, the newest is what stays", async () => {
  const directory = tempDir();
  const probe = createProbe({ log }, directory);
  await Promise.all([300, 20, 10].map((healthyS) => probe.announce({ ...NOTHING, healthyS })));
  expect((await announced(directory)).get("healthy_s")).toBe("10");
});

it("knows its own login only, and lets it use one topic", async () => {
  const directory = tempDir();
  const probe = createProbe({ log }, directory);
  await probe.announce(NOTHING);
  const found = await announced(directory);
  const username = found.get("username") ?? "";
  const password = Buffer.from(found.get("password") ?? "");
  const topic = found.get("topic") ?? "";
  expect(probe.login({ username, password })).toBe("accepted");
  expect(probe.login({ username, password: Buffer.from("0".repeat(32)) })).toBeNull();
  expect(probe.login({ username, password: null })).toBeNull();
  expect(probe.login({ username: "admin", password })).toBeNull();
  const use = { username, topic, qos: 1, retain: false };
  expect(probe.mayUse(use)).toBe(true);
  expect(probe.mayUse({ ...use, topic: "#" })).toBe(false);
  expect(probe.mayUse({ ...use, topic: "plant/temp" })).toBe(false);
  expect(probe.mayUse({ ...use, retain: true })).toBe(false);
  expect(probe.mayUse({ ...use, username: "admin" })).toBeNull();
});

it("there is no such login where nobody is to probe, and another one at every start", async () => {
  const directories = [tempDir(), tempDir()];
  const passwords = new Set<string>();
  for (const directory of directories) {
    const probe = createProbe({ log }, directory);
    await probe.announce(NOTHING);
    passwords.add((await announced(directory)).get("password") ?? "");
  }
  expect(passwords.size).toBe(2);
  const without = createProbe({ log }, null);
  await without.announce(NOTHING);
  expect(without.login({ username: "$tidegate-probe", password: Buffer.alloc(32) })).toBeNull();
});

it("a listener on every address is reached by loopback, another one by its own", () => {
  expect(loopbackOf("::")).toBe("127.0.0.1");
  expect(loopbackOf("192.168.1.7")).toBe("192.168.1.7");
});
