import { execFileSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startGateway, TEST_CONFIG } from "../helpers/gateway-process.ts";

const MAIN = join(import.meta.dirname, "../../src/main.ts");

async function login(tcpPort: number, password: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${tcpPort}/api/v1`, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`admin:${password}`)}`, connection: "close" },
    body: '{"req": 2, "seq": 1}',
  });
  await answer.arrayBuffer();
  return answer.status;
}

describe("without a configured password", () => {
  it("the first start makes one of the device's own, told in a file only its owner can read", async () => {
    const config = TEST_CONFIG.replace(", password: public", "");
    const gateway = await startGateway({ config });
    const file = join(gateway.dataDir, "admin-password");
    const password = readFileSync(file, "utf8").trim();
    expect(password.length).toBeGreaterThanOrEqual(16);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await login(gateway.ports.http, password)).toBe(200);
    expect(await login(gateway.ports.http, "public")).toBe(401);
    expect(gateway.child.output()).not.toContain(password);
    await gateway.child.kill("SIGTERM");

    const again = await startGateway({ config, dataDir: gateway.dataDir });
    expect(await login(again.ports.http, password)).toBe(200);
    await again.child.kill("SIGTERM");

    const printed = execFileSync(
      process.execPath,
      [MAIN, "reset-admin", "--data", gateway.dataDir],
      { encoding: "utf8" },
    ).trim();
    const reset = await startGateway({ config, dataDir: gateway.dataDir });
    expect(await login(reset.ports.http, printed)).toBe(200);
    expect(await login(reset.ports.http, password)).toBe(401);
  });
});
