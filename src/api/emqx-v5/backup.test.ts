import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, onTestFinished, test } from "vitest";
import { backupRoutes } from "./backup.ts";
import { bannedRoutes } from "./banned.ts";
import { configRoutes } from "./configs.ts";
import { listenerRoutes } from "./listeners.ts";
import { LiveGateway } from "./live-gateway.testing.ts";

const start = () =>
  LiveGateway.start((services) => [
    ...backupRoutes(services),
    ...bannedRoutes(services),
    ...configRoutes(services),
    ...listenerRoutes(services),
  ]);

async function exported(live: LiveGateway, body: object = {}): Promise<string> {
  const answer = await live.call("POST", "/data/export", { body });
  expect(answer.status).toBe(200);
  return (answer.body as { filename: string }).filename;
}

function upload(live: LiveGateway, name: string, bytes: Buffer) {
  const boundary = "XXbackupXX";
  const head = `--${boundary}\r\ncontent-disposition: form-data; name="filename"; filename="${name}"\r\ncontent-type: application/gzip\r\n\r\n`;
  return live.call("POST", "/data/files", {
    body: Buffer.concat([Buffer.from(head), bytes, Buffer.from(`\r\n--${boundary}--\r\n`)]),
    headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
  });
}

const download = async (live: LiveGateway, name: string) => {
  const { app } = live;
  const url = `/api/v5/data/files/${name}`;
  const reply = await app.inject({ url, headers: { authorization: "Test administrator" } });
  expect(reply.headers["content-type"]).toBe("application/octet-stream");
  return reply.rawPayload;
};

const ban = (live: LiveGateway, who: string) =>
  live.call("POST", "/banned", { body: { as: "clientid", who } });

async function banned(live: LiveGateway): Promise<string[]> {
  const { body } = await live.call("GET", "/banned");
  return (body as { data: { who: string }[] }).data.map(({ who }) => who);
}

test("what was exported comes back by an import, and what came later goes", async () => {
  const live = await start();
  await ban(live, "old");
  await live.call("PUT", "/configs/alarm", { body: { size_limit: 77 } });
  await live.call("POST", "/listeners", {
    body: { type: "tcp", name: "extra", bind: "127.0.0.1:0" },
  });
  const filename = await exported(live);
  await live.call("DELETE", "/banned");
  await ban(live, "new");
  await live.call("PUT", "/configs/alarm", { body: { size_limit: 5 } });
  await live.call("DELETE", "/listeners/tcp:extra");
  await live.call("POST", "/listeners", {
    body: { type: "tcp", name: "late", bind: "127.0.0.1:0" },
  });

  expect((await live.call("POST", "/data/import", { body: { filename } })).status).toBe(204);
  await live.restart();
  expect(await banned(live)).toEqual(["old"]);
  await expect(live.connect({ clientId: "old" })).rejects.toMatchObject({ code: 5 });
  expect((await live.call("GET", "/configs/alarm")).body).toMatchObject({ size_limit: 77 });
  expect(Object.keys(live.gateway.ports())).toContain("tcp:extra");
  expect(Object.keys(live.gateway.ports())).not.toContain("tcp:late");
});

test("a backup goes to another gateway with its keys, and nobody else may read it", async () => {
  const live = await start();
  const file = (name: string) => join(live.dataDir, name);
  execFileSync("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
    ...["-keyout", file("k.pem"), "-out", file("c.pem"), "-days", "2", "-subj", "/CN=localhost"],
  ]);
  const text = (name: string) => readFileSync(file(name), "utf8");
  const ssl_options = { keyfile: text("k.pem"), certfile: text("c.pem") };
  await live.call("POST", "/listeners", {
    body: { type: "ssl", name: "lan", bind: "127.0.0.1:0", ssl_options },
  });
  const name = await exported(live, { root_keys: ["extra_listeners"], table_sets: ["bans"] });
  expect(statSync(join(live.dataDir, "backup", name)).mode & 0o777).toBe(0o600);
  expect(statSync(join(live.dataDir, "backup")).mode & 0o777).toBe(0o700);
  const viewed = await live.call("GET", `/data/files/${name}`, { as: "viewer" });
  expect(viewed).toMatchObject({ status: 403, body: { code: "UNAUTHORIZED_ROLE" } });
  const bytes = await download(live, name);

  const other = await start();
  expect((await upload(other, "moved.tar.gz", bytes)).status).toBe(204);
  const body = { filename: "moved.tar.gz" };
  expect((await other.call("POST", "/data/import", { body })).status).toBe(204);
  await other.restart();
  await other.connect({ protocol: "mqtts", rejectUnauthorized: false }, "ssl:lan");
});

test("backups are listed, newest first, and removed", async () => {
  const live = await start();
  const name = await exported(live, { root_keys: ["log"], table_sets: [] });
  const { body } = await live.call("GET", "/data/files");
  expect(body).toMatchObject({
    data: [{ filename: name, node: "tidegate@127.0.0.1", size: expect.any(Number) }],
    meta: { count: 1, hasnext: false },
  });
  const again = await upload(live, name, await download(live, name));
  expect(again).toMatchObject({ status: 400, body: { code: "BAD_REQUEST" } });
  expect((await live.call("DELETE", `/data/files/${name}`)).status).toBe(204);
  const gone = { status: 404, body: { code: "NOT_FOUND" } };
  expect(await live.call("GET", `/data/files/${name}`)).toMatchObject(gone);
  expect(await live.call("DELETE", `/data/files/${name}`)).toMatchObject(gone);
  expect(await live.call("DELETE", "/data/files/..%2Fconfig%2Fcurrent.yaml")).toMatchObject(gone);
  const body404 = { filename: name };
  expect(await live.call("POST", "/data/import", { body: body404 })).toMatchObject(gone);
  for (const wrong of [{ table_sets: ["secrets"] }, { root_keys: ["nothing"] }, { more: 1 }]) {
    expect(await live.call("POST", "/data/export", { body: wrong })).toMatchObject({ status: 400 });
  }
});

/** The files of a backup in a folder, changed by `change`, packed by the system's tar. */
function repacked(live: LiveGateway, bytes: Buffer, change: (folder: string) => string[]): Buffer {
  const folder = join(live.dataDir, "unpacked");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(live.dataDir, "b.tar.gz"), bytes);
  execFileSync("tar", ["-xzf", join(live.dataDir, "b.tar.gz"), "-C", folder]);
  const more = change(folder);
  const out = join(live.dataDir, "out.tar.gz");
  execFileSync("tar", ["-czPf", out, "-C", folder, ...readdirSync(folder), ...more]);
  return readFileSync(out);
}

test("what is no backup of a gateway, was changed or leads elsewhere is refused", async () => {
  const live = await start();
  const good = await download(live, await exported(live));
  const config = (text: string) => (folder: string) => {
    writeFileSync(join(folder, "config.json"), text);
    return [];
  };
  const wrong: readonly (readonly [string, Buffer])[] = [
    ["no archive", Buffer.from("hello")],
    ["an empty one", gzipSync(Buffer.alloc(1024))],
    ["cut off", good.subarray(0, good.length / 2)],
    ["changed", repacked(live, good, config('{"msq_len":1}'))],
    ["outside", repacked(live, good, () => ["/etc/hostname"])],
    ["a bomb", gzipSync(Buffer.alloc(100 * 1024 * 1024))],
  ];
  for (const [what, bytes] of wrong) {
    expect(await upload(live, "bad.tar.gz", bytes), what).toMatchObject({
      status: 400,
      body: { code: "BAD_REQUEST" },
    });
  }
  for (const name of ["../x.tar.gz", ".x.tar.gz", "x.zip"]) {
    const { status } = await upload(live, name, good);
    const kept = (await live.call("GET", "/data/files")).body as { data: { filename: string }[] };
    if (status === 204) expect(kept.data.map(({ filename }) => filename)).toContain("x.tar.gz");
    else expect(status, name).toBe(400);
  }
  expect(readdirSync(live.dataDir)).not.toContain("x.tar.gz");
});

test("a backup whose configuration does not fit the machine changes nothing at all", async () => {
  const live = await start();
  await ban(live, "in the backup");
  const body = { type: "tcp", name: "extra", bind: "127.0.0.1:0" };
  await live.call("POST", "/listeners", { body });
  const port = live.gateway.ports()["tcp:extra"] ?? 0;
  await live.call("PUT", "/listeners/tcp:extra", {
    body: { type: "tcp", id: "tcp:extra", bind: `127.0.0.1:${port}` },
  });
  const filename = await exported(live);
  await live.call("DELETE", "/listeners/tcp:extra");
  await live.call("DELETE", "/banned");
  const program = createServer().listen(port, "127.0.0.1");
  onTestFinished(() => void program.close());
  await new Promise((resolve) => program.once("listening", resolve));

  expect(await live.call("POST", "/data/import", { body: { filename } })).toMatchObject({
    status: 400,
    body: { code: "BAD_REQUEST", message: expect.stringContaining("in use") },
  });
  await live.restart();
  expect(await banned(live)).toEqual([]);
  expect((await live.call("GET", "/listeners/tcp:extra")).status).toBe(404);
});
