import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { startGateway, TEST_CONFIG } from "../helpers/gateway-process.ts";
import { connectDevice } from "../helpers/mqtt.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const run = promisify(execFile);

/** The specification's example. */
const KEYS = `my-app:AAA4A275-BEEC-4AF8-B70B-DAAC0341F8EB
ec3907f865805db0:Ee3taYltUKtoBVD9C3XjQl9C6NXheip8Z9B69BpUv5JxVHL:viewer
foo:3CA92E5F-30AB-41F5-B3E6-8D7E213BE97E:publisher`;
const [ADMINISTRATOR = "", VIEWER = "", PUBLISHER = ""] = KEYS.split("\n").map((line) =>
  line.split(":").slice(0, 2).join(":"),
);

interface Answer {
  readonly status: number;
  readonly headers: string;
  readonly body: string;
  json(): unknown;
}

async function curl(...args: readonly string[]): Promise<Answer> {
  const { stdout } = await run("curl", ["--silent", "--include", ...args]);
  const end = stdout.indexOf("\r\n\r\n");
  const body = stdout.slice(end + 4);
  const status = Number(stdout.slice(9, 12));
  return {
    status,
    headers: stdout.slice(0, end).toLowerCase(),
    body,
    json: () => JSON.parse(body),
  };
}

async function start(dataDir = join(tempDir(), "data")) {
  const file = join(tempDir(), "default_api_key.conf");
  writeFileSync(file, KEYS);
  const config = `${TEST_CONFIG}\napi_key: {bootstrap_file: ${JSON.stringify(file)}}\n`;
  const gateway = await startGateway({ config, dataDir });
  return { gateway, api: `http://127.0.0.1:${gateway.ports.http}/api/v5` };
}

test("the specification's examples work as they stand with curl", async () => {
  const { gateway, api } = await start();
  await connectDevice(gateway.ports.tcp, { clientId: "c1" });

  const list = await curl(
    "-u",
    ADMINISTRATOR,
    "-H",
    "Accept: application/json",
    `${api}/clients?page=1&limit=100`,
  );
  expect(list.status).toBe(200);
  expect(list.json()).toMatchObject({
    data: [{ clientid: "c1", connected: true }],
    meta: { count: 1, limit: 100, page: 1, hasnext: false },
  });

  const login = await curl(
    "-X",
    "POST",
    `${api}/login`,
    "--header",
    "Content-Type: application/json",
    "--data",
    '{"username": "admin", "password": "public"}',
  );
  const { token } = login.json() as { token: string };
  const bearer = ["--header", `Authorization: Bearer ${token}`];
  expect((await curl(...bearer, `${api}/nodes`)).status).toBe(200);

  const unknown = await curl(...bearer, `${api}/clients/foo`);
  expect(unknown.status).toBe(404);
  expect(unknown.json()).toMatchObject({
    code: "CLIENTID_NOT_FOUND",
    message: "Client ID not found",
    reason: "Client ID not found",
  });

  const queue = `${api}/clients/c1/mqueue_messages?position=1716187698257189921_0&limit=100`;
  expect((await curl(...bearer, queue)).json()).toMatchObject({
    data: [],
    meta: { start: expect.any(String), position: expect.any(String) },
  });
});

test("the keys of the bootstrap file have their roles, also after a restart", async () => {
  const first = await start();
  const { dataDir } = first.gateway;
  const message = '{"topic": "t", "payload": "x"}';
  const publish = ["-H", "Content-Type: application/json", "-d", message];
  const check = async (api: string) => {
    const status = async (key: string, ...args: readonly string[]) =>
      (await curl("-u", key, ...args)).status;
    expect(await status(VIEWER, `${api}/nodes`)).toBe(200);
    expect(await status(VIEWER, ...publish, `${api}/publish`)).toBe(403);
    expect(await status(PUBLISHER, `${api}/nodes`)).toBe(403);
    expect(await status(PUBLISHER, ...publish, `${api}/publish`)).toBe(202);
    expect(await status(ADMINISTRATOR, ...publish, `${api}/publish`)).toBe(202);
    expect(await status("my-app:wrong", `${api}/nodes`)).toBe(401);
  };
  await check(first.api);
  await first.gateway.child.kill();
  const second = await start(dataDir);
  await check(second.api);
  expect(second.gateway.child.output()).toMatch(/"keys":3,"changed":0/);
});

test("curl's own habits meet the answers of the reference", async () => {
  const { api } = await start();
  const form = await curl("-u", ADMINISTRATOR, "-d", '{"topic":"t"}', `${api}/publish`);
  expect([form.status, form.json()]).toMatchObject([415, { code: "UNSUPPORTED_MEDIA_TYPE" }]);
  const head = await curl("-I", "-u", ADMINISTRATOR, `${api}/users`);
  expect(head.status).toBe(405);
  expect(head.headers).toContain("allow: get, post");
  const stranger = await curl(`${api}/nodes`);
  expect(stranger.status).toBe(401);
  expect(stranger.headers).toContain("www-authenticate: basic realm=");
  const status = await curl(`${api}/status`);
  expect(status.body).toMatch(/ is started\nemqx is running$/);
  const page = await curl("-L", `${api.replace("/api/v5", "/api-docs")}`);
  expect(page.body).toContain("swagger-ui");
});
