import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { connectAsync, type MqttClient } from "mqtt";
import { expect, onTestFinished, test } from "vitest";
import { startGateway } from "../helpers/gateway-process.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { until } from "../helpers/until.ts";

const run = promisify(execFile);

const CONFIG = `
listeners:
  tcp: {bind: 127.0.0.1, port: 0}
  ws: {bind: 127.0.0.1, port: 0}
http: {bind: 127.0.0.1, port: 0, emqx_port: null, password: public}
auth:
  users: [{username: operator, password: from-the-file}]
acl: {no_match: deny}
`;

const USERS = "authentication/password_based%3Abuilt_in_database/users";
const DATABASE = "authorization/sources/built_in_database";

/** curl, as a device back end's shell script calls the API. */
function backEnd(tcpPort: number) {
  let token = "";
  const call = async (method: string, path: string, body?: object) => {
    const { stdout } = await run("curl", [
      ...["-sS", "-X", method, "-w", "\n%{http_code}"],
      ...["-H", `Authorization: Bearer ${token}`],
      ...(body === undefined
        ? []
        : ["-H", "Content-Type: application/json", "-d", JSON.stringify(body)]),
      `http://127.0.0.1:${tcpPort}/api/v5/${path}`,
    ]);
    const at = stdout.lastIndexOf("\n");
    const text = stdout.slice(0, at);
    return { status: Number(stdout.slice(at + 1)), body: text === "" ? null : JSON.parse(text) };
  };
  return {
    call,
    async upload(path: string, file: string): Promise<unknown> {
      const { stdout } = await run("curl", [
        ...["-sS", "-H", `Authorization: Bearer ${token}`, "-F", `filename=@${file}`],
        `http://127.0.0.1:${tcpPort}/api/v5/${path}`,
      ]);
      return JSON.parse(stdout);
    },
    async logIn() {
      const { body } = await call("POST", "login", { username: "admin", password: "public" });
      token = body.token;
    },
  };
}

/** 0 and nothing, or the exit code and what mosquitto_pub says. */
async function publish(tcpPort: number, args: readonly string[]): Promise<[number, string]> {
  try {
    await run("mosquitto_pub", ["-h", "127.0.0.1", "-p", String(tcpPort), ...args]);
    return [0, ""];
  } catch (err) {
    if (!(err instanceof Error && "code" in err && "stderr" in err)) throw err;
    return [Number(err.code), String(err.stderr)];
  }
}

async function listen(tcpPort: number, topics: readonly string[]) {
  const client: MqttClient = await connectAsync(`mqtt://127.0.0.1:${tcpPort}`, {
    username: "operator",
    password: "from-the-file",
    reconnectPeriod: 0,
  });
  onTestFinished(() => client.endAsync(true));
  const seen: string[] = [];
  client.on("message", (topic, payload) => void seen.push(`${topic} ${payload}`));
  for (const topic of topics) await client.subscribeAsync(topic, { qos: 1 });
  return seen;
}

test("a device back end provisions a device, limits it, and takes it away again, over a restart too", async () => {
  const dataDir = tempDir();
  const gateway = await startGateway({ supervised: true, config: CONFIG, dataDir });
  let { tcp, http } = gateway.ports;
  let backend = backEnd(http);
  await backend.logIn();

  const device = ["-u", "dev-1", "-P", "s3cret", "-i", "c-1", "-q", "1"];
  expect((await publish(tcp, [...device, "-t", "devices/dev-1/up", "-m", "0"]))[0]).not.toBe(0);

  expect(
    await backend.call("POST", "authentication", {
      mechanism: "password_based",
      backend: "built_in_database",
      user_id_type: "username",
      password_hash_algorithm: { name: "sha256", salt_position: "suffix" },
    }),
  ).toMatchObject({ status: 200 });
  const source = { type: "built_in_database", enable: true };
  expect(await backend.call("POST", "authorization/sources", source)).toMatchObject({
    status: 204,
  });
  const user = { user_id: "dev-1", password: "s3cret" };
  expect(await backend.call("POST", USERS, user)).toMatchObject({ status: 201 });
  expect(await backend.call("POST", USERS, user)).toMatchObject({ status: 409 });
  const rules = {
    username: "dev-1",
    rules: [
      { topic: "devices/${username}/up", permission: "allow", action: "publish", retain: false },
      { topic: "devices/${username}/down", permission: "allow", action: "subscribe" },
    ],
  };
  expect(await backend.call("PUT", `${DATABASE}/rules/users/dev-1`, rules)).toMatchObject({
    status: 204,
  });
  const operator = {
    username: "operator",
    rules: [{ topic: "#", permission: "allow", action: "all" }],
  };
  expect(await backend.call("POST", `${DATABASE}/rules/users`, [operator])).toMatchObject({
    status: 204,
  });

  const seen = await listen(tcp, ["devices/#"]);
  expect(await publish(tcp, [...device, "-t", "devices/dev-1/up", "-m", "1"])).toEqual([0, ""]);
  await publish(tcp, [...device, "-t", "devices/dev-2/up", "-m", "forged"]);
  await publish(tcp, [...device, "-r", "-t", "devices/dev-1/up", "-m", "retained"]);
  await publish(tcp, [...device, "-t", "devices/dev-1/up", "-m", "2"]);
  await until("what was allowed", () => seen.length === 2);
  expect(seen).toEqual(["devices/dev-1/up 1", "devices/dev-1/up 2"]);

  // While the device is connected, its rules change under it.
  const live = await connectAsync(`mqtt://127.0.0.1:${tcp}`, {
    username: "dev-1",
    password: "s3cret",
    protocolVersion: 5,
    reconnectPeriod: 0,
  });
  onTestFinished(() => live.endAsync(true));
  await live.publishAsync("devices/dev-1/up", "3", { qos: 1 });
  const deny = { topic: "devices/${username}/up", permission: "deny", action: "publish" };
  await backend.call("PUT", `${DATABASE}/rules/users/dev-1`, { ...rules, rules: [deny] });
  await expect(live.publishAsync("devices/dev-1/up", "4", { qos: 1 })).rejects.toThrow(
    "Not authorized",
  );
  await backend.call("PUT", `${DATABASE}/rules/users/dev-1`, rules);
  await live.publishAsync("devices/dev-1/up", "5", { qos: 1 });
  await until("what was allowed", () => seen.length === 4);
  expect(seen.slice(2)).toEqual(["devices/dev-1/up 3", "devices/dev-1/up 5"]);

  // All of it lasts.
  const { readyAt } = gateway;
  process.kill(gateway.pid, "SIGKILL");
  const again = await gateway.readyAgain(readyAt);
  ({ tcp, http } = again.ports);
  backend = backEnd(http);
  await backend.logIn();
  const after = await listen(tcp, ["devices/#"]);
  expect(await publish(tcp, [...device, "-t", "devices/dev-1/up", "-m", "6"])).toEqual([0, ""]);
  await publish(tcp, [...device, "-t", "devices/dev-2/up", "-m", "forged"]);
  expect(await publish(tcp, [...device, "-t", "devices/dev-1/up", "-m", "7"])).toEqual([0, ""]);
  await until("what was allowed", () => after.length === 2);
  expect(after).toEqual(["devices/dev-1/up 6", "devices/dev-1/up 7"]);

  expect(await backend.call("DELETE", `${USERS}/dev-1`)).toMatchObject({ status: 204 });
  expect(await backend.call("DELETE", `${DATABASE}/rules/users/dev-1`)).toMatchObject({
    status: 204,
  });
  const [code, said] = await publish(tcp, [...device, "-t", "devices/dev-1/up", "-m", "8"]);
  expect(code).not.toBe(0);
  expect(said).toMatch(/bad user ?name or password|not authori[sz]ed/i);
  expect(await backend.call("DELETE", `${USERS}/dev-1`)).toMatchObject({ status: 404 });
  expect(after).toHaveLength(2);
}, 60_000);

test("a file of 20,000 users goes in with curl, which asks before it sends one so large", async () => {
  const { ports } = await startGateway({ config: CONFIG });
  const backend = backEnd(ports.http);
  await backend.logIn();
  await backend.call("POST", "authentication", {
    mechanism: "password_based",
    backend: "built_in_database",
    password_hash_algorithm: { name: "sha256", salt_position: "suffix" },
  });
  const hash = "44edc2d57cde8d79c98145003e105b90a14f1460b79186ea9cfe83942fc5abb5";
  const rows = Array.from({ length: 20_000 }, (_, i) => `device-${i},${hash},slat_foo123,false`);
  const file = join(tempDir(), "users.csv");
  writeFileSync(file, `user_id,password_hash,salt,is_superuser\n${rows.join("\n")}\n`);
  const path = "authentication/password_based:built_in_database/import_users";
  expect(await backend.upload(path, file)).toMatchObject({ total: 20_000, success: 20_000 });
  const device = ["-u", "device-19999", "-P", "public", "-t", "t", "-m", "x"];
  expect(await publish(ports.tcp, device)).toEqual([0, ""]);
}, 60_000);
