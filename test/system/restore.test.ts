import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startGateway } from "../helpers/gateway-process.ts";
import { login } from "../helpers/http-v5.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const BAN = { as: "clientid", who: "stolen-meter" };

/** A data directory in which a backup waits. */
function waiting(bytes: Buffer): string {
  const dataDir = join(tempDir(), "data");
  mkdirSync(dataDir, { recursive: true });
  writeFileSync(join(dataDir, "restore.tar.gz"), bytes);
  return dataDir;
}

function resultIn(dataDir: string): string {
  const file = join(dataDir, "restore-result.txt");
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}

test("a backup that waits in the data directory of another device is read back, once", async () => {
  const dead = await startGateway();
  const api = await login(dead.ports.http);
  expect(await api("POST", "/banned", BAN)).toMatchObject({ status: 200 });
  expect(await api("POST", "/data/export", {})).toMatchObject({ status: 200 });
  const exported = join(dead.dataDir, "backup");
  const bytes = readFileSync(join(exported, readdirSync(exported)[0] ?? ""));
  await dead.child.kill("SIGTERM");

  const dataDir = waiting(bytes);
  const fresh = await startGateway({ dataDir, supervised: true });
  const { ports, readyAt } = await fresh.readyAgain(fresh.readyAt);
  expect(resultIn(dataDir)).toMatch(/^\d{4}-.*Z applied\n$/);
  expect(existsSync(join(dataDir, "restore.tar.gz"))).toBe(false);
  const restored = await login(ports.http);
  const { body } = await restored("GET", "/banned");
  expect(JSON.stringify(body)).toContain(BAN.who);
  await fresh.child.kill("SIGTERM");
  expect(fresh.child.output().slice(readyAt)).not.toContain('"msg":"ready"');
}, 60_000);

test.each([
  ["garbage", Buffer.from("no archive at all")],
  ["one that is cut off", Buffer.from("1f8b0800000000000003", "hex")],
  ["one that is too large", Buffer.alloc(17 * 1024 * 1024)],
])("%s changes nothing, and the result says why", async (_, bytes) => {
  const dataDir = waiting(bytes);
  const gateway = await startGateway({ dataDir });
  await until("the result", () => resultIn(dataDir) !== "");
  expect(resultIn(dataDir)).toMatch(/Z refused: .{10,}\n$/);
  expect(existsSync(join(dataDir, "restore.tar.gz"))).toBe(false);
  await login(gateway.ports.http);
});
