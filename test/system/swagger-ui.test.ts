import { join } from "node:path";
import { chromium } from "playwright-core";
import { expect, onTestFinished, test } from "vitest";
import { startGateway } from "../helpers/gateway-process.ts";
import { tempDir } from "../helpers/temp-dir.ts";

/** Debian's; CI installs it. */
const CHROMIUM = "/usr/bin/chromium";

async function post(url: string, body: object, token = ""): Promise<Record<string, string>> {
  const reply = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify(body),
  });
  expect(reply.status).toBe(200);
  return (await reply.json()) as Record<string, string>;
}

test("in a browser Swagger UI authorises with an API key and runs a call, all from the gateway", async () => {
  const { ports } = await startGateway();
  const base = `http://127.0.0.1:${ports.http}`;
  const login = { username: "admin", password: "public" };
  const { token = "" } = await post(`${base}/api/v5/login`, login);
  const key = await post(`${base}/api/v5/api_key`, { name: "browser" }, token);

  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  onTestFinished(() => browser.close());
  const page = await browser.newPage({ viewport: { width: 1280, height: 1600 } });
  const asked: string[] = [];
  const errors: string[] = [];
  page.on("request", (request) => asked.push(request.url()));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  page.on("pageerror", (err) => errors.push(err.message));

  await page.goto(`${base}/api-docs`);
  await page.getByRole("button", { name: "Authorize", exact: true }).click();
  const dialog = page.locator(".modal-ux");
  const basic = dialog.locator(".auth-container").filter({ hasText: "basicAuth" });
  await basic.locator('input[type="text"]').fill(key["api_key"] ?? "");
  await basic.locator('input[type="password"]').fill(key["api_secret"] ?? "");
  await basic.getByRole("button", { name: /apply/i }).click();
  await basic.getByRole("button", { name: "Close" }).click();

  await page.locator("h3.opblock-tag").filter({ hasText: "Nodes" }).click();
  const operation = page.locator("#operations-Nodes-getNodes");
  await operation.locator(".opblock-summary-control").click();
  await operation.getByRole("button", { name: "Try it out" }).click();
  await operation.getByRole("button", { name: "Execute" }).click();
  const answer = operation.locator(".live-responses-table");
  await answer.waitFor();
  await page.screenshot({ path: process.env["SCREENSHOT"] ?? join(tempDir(), "swagger-ui.png") });

  expect(await answer.locator(".response-col_status").last().innerText()).toContain("200");
  expect(await answer.innerText()).toContain("tidegate@127.0.0.1");
  expect(asked.filter((url) => !url.startsWith(base) && !url.startsWith("data:"))).toEqual([]);
  expect(errors).toEqual([]);
}, 60_000);
