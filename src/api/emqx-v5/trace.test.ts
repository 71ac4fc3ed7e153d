import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { unzipSync } from "fflate";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createLog } from "../../log/index.ts";
import type { Observer } from "../../mqtt/index.ts";
import { ManualClock } from "../../time/index.ts";
import { createTraces, type Traces } from "../../trace/index.ts";
import { startApi, type TestRoutes } from "./kit/kit.testing.ts";
import { traceRoutes } from "./trace.ts";
import { zipOf } from "./trace-zip.ts";

const NODE = "tidegate@127.0.0.1";

let api: TestRoutes;
let traces: Traces;
let clock: ManualClock;
let path: string;
let observer: Observer | null;

beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), "tidegate-trace-api-"));
  clock = new ManualClock(Date.UTC(2026, 4, 1, 10));
  observer = null;
  const table = {
    entries: async function* () {
      yield [];
    },
    put: () => undefined,
    delete: () => undefined,
  };
  traces = createTraces(
    {
      log: createLog({ level: "fatal" }),
      clock,
      store: { table: () => table },
      broker: {
        observe(given) {
          observer = given;
          return () => {
            observer = null;
          };
        },
        client: () => undefined,
      },
    },
    { path },
  );
  await traces.start();
  const node = () => ({
    version: "1",
    uptimeMs: 0,
    nowMs: clock.nowMs(),
    isReady: true,
    connections: 0,
    sessions: 0,
    maxOpenFiles: null,
    configuration: { restartPending: false, onTrial: false, confirmS: null, rolledBack: null },
  });
  api = await startApi(traceRoutes({ node: { name: NODE }, traces, statistics: { node } }));
});

afterEach(async () => {
  await api.close();
  await traces.stop();
  await rm(path, { recursive: true });
});

const create = (more: object = {}) =>
  api.call("POST", "/trace", { body: { name: "t1", type: "clientid", clientid: "c1", ...more } });

function connect(times = 1): void {
  for (let i = 0; i < times; i++) {
    observer?.client?.({
      kind: "connected",
      clientId: "c1",
      username: null,
      address: "10.0.0.1",
      tcpPort: 1,
      details: {},
    });
  }
}

test("a trace is made, shown, read in pieces, stopped and removed", async () => {
  expect(await create()).toMatchObject({
    status: 200,
    body: { name: "t1", type: "clientid", clientid: "c1", status: "running" },
  });
  connect(2);
  const first = await api.call("GET", "/trace/t1/log?bytes=40");
  expect(first).toMatchObject({
    status: 200,
    body: { meta: { position: 40, bytes: 40, hint: "retry" } },
  });
  expect(await api.call("PUT", "/trace/t1/stop")).toMatchObject({
    status: 200,
    body: { name: "t1", enable: false },
  });
  const rest = await api.call("GET", "/trace/t1/log?position=40&bytes=10000000");
  expect(rest).toMatchObject({ body: { meta: { hint: "eof" } } });
  const [list] = (await api.call("GET", "/trace")).body as [{ log_size: Record<string, number> }];
  const { items } = rest.body as { items: string };
  expect(list).toMatchObject({ status: "stopped", log_size: { [NODE]: 40 + items.length } });
  expect(await api.call("GET", "/trace/t1/log_detail")).toMatchObject({
    body: [{ node: NODE, size: 40 + items.length, mtime: clock.nowMs() }],
  });
  expect(await api.call("DELETE", "/trace/t1")).toMatchObject({ status: 204 });
  expect(await api.call("GET", "/trace")).toMatchObject({ body: [] });
});

test("times are RFC 3339 or epoch seconds; a trace may wait for its start", async () => {
  const startS = clock.nowMs() / 1000 + 60;
  const waiting = await create({ start_at: startS, end_at: "2026-05-01T11:00:00Z" });
  expect(waiting).toMatchObject({ status: 200, body: { status: "waiting" } });
  const { start_at, end_at } = waiting.body as { start_at: string; end_at: string };
  expect(Date.parse(start_at)).toBe(startS * 1000);
  expect(new Date(end_at).toISOString()).toBe("2026-05-01T11:00:00.000Z");
});

test("faulty and repeated traces are refused in EMQX's words", async () => {
  const cases: readonly (readonly [object, number, string])[] = [
    [{ name: "no spaces" }, 400, "BAD_REQUEST"],
    [{ type: "ruleid" }, 400, "BAD_REQUEST"],
    [{ type: "topic" }, 400, "INVALID_PARAMS"],
    [{ type: "topic", topic: "a/#/b" }, 400, "INVALID_PARAMS"],
    [{ type: "ip_address", ip_address: "10.0.0" }, 400, "INVALID_PARAMS"],
    [{ end_at: 1 }, 400, "INVALID_PARAMS"],
    [{ unknown: 1 }, 400, "BAD_REQUEST"],
  ];
  for (const [more, status, code] of cases) {
    expect(await create(more), JSON.stringify(more)).toMatchObject({ status, body: { code } });
  }
  await create();
  expect(await create()).toMatchObject({ status: 409, body: { code: "ALREADY_EXISTS" } });
  expect(await create({ name: "t2" })).toMatchObject({
    status: 409,
    body: { code: "DUPLICATE_CONDITION" },
  });
  for (let i = 2; i <= 30; i++) await create({ name: `t${i}`, clientid: `c${i}` });
  expect(await create({ name: "t31", clientid: "c31" })).toMatchObject({
    status: 400,
    body: { code: "EXCEED_LIMIT" },
  });
  expect(await api.call("DELETE", "/trace")).toMatchObject({ status: 204 });
  expect(await api.call("GET", "/trace")).toMatchObject({ body: [] });
});

test("what is not there is not found, an empty download included", async () => {
  const missing = { status: 404, body: { code: "NOT_FOUND" } };
  for (const path of ["/trace/x/log", "/trace/x/log_detail", "/trace/x/download"]) {
    expect(await api.call("GET", path), path).toMatchObject(missing);
  }
  expect(await api.call("DELETE", "/trace/x")).toMatchObject(missing);
  expect(await api.call("PUT", "/trace/x/stop")).toMatchObject(missing);
  await create();
  expect(await api.call("GET", "/trace/t1/download")).toMatchObject(missing);
  connect();
  expect(await api.call("GET", "/trace/t1/log?node=x@y")).toMatchObject(missing);
  expect(await api.call("GET", "/trace/t1/log?bytes=0")).toMatchObject({ status: 400 });
});

test("the download is a zip file that other programs read", async () => {
  await create();
  connect(1000);
  const reply = await api.app.inject({
    url: "/api/v5/trace/t1/download",
    headers: { authorization: "Test administrator" },
  });
  expect(reply.statusCode).toBe(200);
  expect(reply.headers["content-type"]).toBe("application/zip");
  expect(reply.headers["content-disposition"]).toBe('attachment; filename="trace_t1.zip"');
  const archive = join(path, "t1.zip");
  await writeFile(archive, reply.rawPayload);
  const script =
    "import sys,zipfile; z=zipfile.ZipFile(sys.argv[1]); print(z.namelist()[0]); print(z.read(z.namelist()[0]).decode(),end='')";
  const { stdout } = await promisify(execFile)("/usr/bin/python3", ["-c", script, archive]);
  const [name, ...lines] = stdout.split("\n");
  expect(name).toBe(`${NODE}/trace_t1.log`);
  expect(lines).toHaveLength(1001);
});

test("a large trace is compressed while it is sent, a little at a time", async () => {
  const text = "x".repeat(65_536);
  const parts = 64;
  let reads = 0;
  const stream = zipOf("a.log", async (position) => {
    reads++;
    const isOver = position >= parts * text.length;
    return { text: isOver ? "" : text, position: position + (isOver ? 0 : text.length) };
  });
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  expect(reads).toBe(parts + 1);
  expect(unzipSync(Buffer.concat(chunks))["a.log"]?.length).toBe(parts * text.length);
});
