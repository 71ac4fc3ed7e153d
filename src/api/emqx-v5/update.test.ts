import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { tempDir } from "../../../test/helpers/temp-dir.ts";
import { until } from "../../../test/helpers/until.ts";
import { createLog } from "../../log/index.ts";
import { ManualClock } from "../../time/index.ts";
import { createUpdates } from "../../update/index.ts";
import { createSockets } from "../sockets.ts";
import { startApi } from "./kit/kit.testing.ts";
import { updateRoutes } from "./update.ts";

const BUNDLE = Buffer.alloc(3_000_000, "bundle ");
const OCTETS = { "content-type": "application/octet-stream" };

/** The routes on the real updates of an appliance; `stateDir` null is a workstation. */
async function appliance({ isOne = true } = {}) {
  const directory = tempDir();
  const stateDir = join(directory, "state");
  const spool = join(directory, "data/update");
  mkdirSync(spool, { recursive: true });
  if (isOne) mkdirSync(stateDir);
  const clock = new ManualClock();
  const updates = createUpdates(
    { log: createLog({ level: "fatal" }), clock },
    { stateDir, dataDir: join(directory, "data") },
  );
  await updates.start();
  const statistics = { node: () => ({ version: "1.0.0" }) };
  const api = await startApi(
    // The routes ask for the version only.
    updateRoutes({ updates, statistics } as unknown as Parameters<typeof updateRoutes>[0]),
  );
  const tell = (status: object) =>
    writeFileSync(join(stateDir, "status.json"), JSON.stringify(status));
  return { ...api, updates, clock, stateDir, spool, tell };
}

const spooled = (spool: string) => readdirSync(spool).sort();

describe("POST /update", () => {
  test("hands a body over as it came, with the wishes, and the request last", async () => {
    const { call, spool } = await appliance();
    const path = "/update?allow_downgrade=true&reboot=false";
    const reply = await call("POST", path, { body: BUNDLE, headers: OCTETS });
    expect(reply).toMatchObject({
      status: 202,
      body: { state: "handed_over", bytes: BUNDLE.length },
    });
    expect(spooled(spool)).toEqual(["bundle.raucb", "request.json"]);
    expect(readFileSync(join(spool, "bundle.raucb")).equals(BUNDLE)).toBe(true);
    // As the device's program reads it.
    expect(readFileSync(join(spool, "request.json"), "utf8")).toBe(
      '{"allow_downgrade":true,"reboot":false}',
    );
  });

  test("takes the file of a form too", async () => {
    const { call, spool } = await appliance();
    const head =
      '--XX\r\ncontent-disposition: form-data; name="file"; filename="../../x"\r\ncontent-type: application/octet-stream\r\n\r\n';
    const body = Buffer.concat([Buffer.from(head), BUNDLE, Buffer.from("\r\n--XX--\r\n")]);
    const headers = { "content-type": "multipart/form-data; boundary=XX" };
    expect((await call("POST", "/update", { body, headers })).status).toBe(202);
    expect(readFileSync(join(spool, "bundle.raucb")).equals(BUNDLE)).toBe(true);
    expect(readFileSync(join(spool, "request.json"), "utf8")).toBe(
      '{"allow_downgrade":false,"reboot":true}',
    );
  });

  test("is for administrators, and reads nothing of others", async () => {
    const { call, spool } = await appliance();
    for (const as of ["viewer", "publisher", null] as const) {
      const reply = await call("POST", "/update", { as, body: BUNDLE, headers: OCTETS });
      expect(reply.status, String(as)).toBe(as === null ? 401 : 403);
    }
    expect(spooled(spool)).toEqual([]);
  });

  test("is refused while another update waits, or is under way", async () => {
    const { call, tell } = await appliance();
    for (const state of ["checking", "installing", "rebooting", "trial"]) {
      tell({ state, progress: 10 });
      const reply = await call("POST", "/update", { body: BUNDLE, headers: OCTETS });
      expect(reply).toMatchObject({ status: 409, body: { code: "CONFLICT" } });
    }
    tell({ state: "failed", progress: 0 });
    expect((await call("POST", "/update", { body: BUNDLE, headers: OCTETS })).status).toBe(202);
    const second = await call("POST", "/update", { body: BUNDLE, headers: OCTETS });
    expect(second).toMatchObject({
      status: 409,
      body: { message: expect.stringContaining("waiting") },
    });
  });

  test("refuses what is too large before it reads it, and what has no body or another type", async () => {
    const { app, call, spool } = await appliance();
    const reply = await app.inject({
      method: "POST",
      url: "/api/v5/update",
      headers: { authorization: "Test administrator", ...OCTETS, "content-length": "1073741825" },
      payload: Buffer.alloc(10),
    });
    expect(reply.statusCode).toBe(413);
    expect((await call("POST", "/update")).status).toBe(400);
    expect((await call("POST", "/update", { body: {} })).status).toBe(415);
    expect(spooled(spool)).toEqual([]);
  });

  test("an upload that breaks off leaves nothing, and the next one is taken", async () => {
    const { app, spool, call, updates } = await appliance();
    const sockets = createSockets((request, response) => app.routing(request, response));
    const tcpPort = await sockets.open("test", "127.0.0.1", 0);
    const caller = connect(tcpPort, "127.0.0.1");
    caller.write(
      "POST /api/v5/update HTTP/1.1\r\nhost: x\r\nauthorization: Test administrator\r\ncontent-type: application/octet-stream\r\ncontent-length: 9000000\r\n\r\n",
    );
    caller.write(BUNDLE);
    await until("the part", () => spooled(spool).includes("bundle.part"));
    // One at a time.
    expect((await call("POST", "/update", { body: BUNDLE, headers: OCTETS })).status).toBe(409);
    caller.destroy();
    // What has come is gone with the caller.
    await until("the end", async () => !(await updates.view()).isHandingOver);
    expect(spooled(spool)).toEqual([]);
    expect((await call("POST", "/update", { body: BUNDLE, headers: OCTETS })).status).toBe(202);
    await sockets.close();
  });

  test("a slow upload has more time than other requests, and a refusal reaches a caller who sends", async () => {
    const { app, spool } = await appliance();
    const limits = { headersMs: 100, requestMs: 300, idleMs: 5_000, maxConnections: 10 };
    const sockets = createSockets((request, response) => app.routing(request, response), limits);
    const tcpPort = await sockets.open("test", "127.0.0.1", 0);
    const caller = connect(tcpPort, "127.0.0.1");
    let text = "";
    caller.on("data", (chunk) => {
      text += chunk.toString();
    });
    const head = (role: string, bytes: number) =>
      `POST /api/v5/update HTTP/1.1\r\nhost: x\r\nauthorization: Test ${role}\r\ncontent-type: application/octet-stream\r\ncontent-length: ${bytes}\r\n\r\n`;
    caller.write(head("administrator", 10));
    // Ten pieces over three times the usual limit: the time is what is tested.
    for (let piece = 0; piece < 10; piece += 1) {
      await delay(100);
      caller.write("x");
    }
    await until("the answer", () => text.includes("202 Accepted"));
    expect(spooled(spool)).toEqual(["bundle.raucb", "request.json"]);
    caller.destroy();

    const viewer = connect(tcpPort, "127.0.0.1");
    let refusal = "";
    viewer.on("data", (chunk) => {
      refusal += chunk.toString();
    });
    viewer.on("error", () => undefined);
    viewer.write(head("viewer", BUNDLE.length));
    viewer.write(BUNDLE);
    await until("the refusal", () => refusal.includes("403 Forbidden"));
    viewer.destroy();
    await sockets.close();
  });
});

describe("GET /update", () => {
  test("tells versions, slots, what is under way and how updates ended, newest first", async () => {
    const { call, tell, stateDir } = await appliance();
    const none = { slots: [], last: null, history: [], usb: [] };
    const nothing = { version: "1.0.0", handing_over: false, ...none };
    expect(await call("GET", "/update", { as: "viewer" })).toMatchObject({
      status: 200,
      body: nothing,
    });
    const ended = (to: string) => ({
      state: "fell_back",
      progress: 100,
      from: "1.0.0",
      to,
      source: "api",
      error: "the gateway is not ready",
      at: "2026-11-22T10:00:00Z",
    });
    tell(ended("1.2.0"));
    const lines = [ended("1.1.0"), ended("1.2.0")].map((line) => `${JSON.stringify(line)}\n`);
    writeFileSync(join(stateDir, "history.jsonl"), lines.join(""));
    writeFileSync(
      join(stateDir, "slots.json"),
      '{"running":"A","next":"A","slots":[{"name":"A","version":"1.0.0","attempts_left":6,"committed":true},{"name":"B","version":null,"attempts_left":0,"committed":false}]}',
    );
    expect((await call("GET", "/update")).body).toEqual({
      version: "1.0.0",
      slots: [
        {
          name: "A",
          version: "1.0.0",
          running: true,
          next: true,
          committed: true,
          attempts_left: 6,
        },
        {
          name: "B",
          version: null,
          running: false,
          next: false,
          committed: false,
          attempts_left: 0,
        },
      ],
      handing_over: false,
      last: { ...ended("1.2.0"), trial: null },
      history: [ended("1.2.0"), ended("1.1.0")],
      usb: [],
    });
  });

  test("tells what a new version on trial waits for, and for how long", async () => {
    const { call, tell } = await appliance();
    const trial = {
      since: "2026-11-22T10:00:00Z",
      until: null,
      latest: "2026-11-22T10:15:00Z",
      waiting_for: "bridge cloud was connected before the update and is not since: refused",
    };
    tell({ state: "trial", progress: 100, to: "1.1.0", trial });
    const { body } = await call("GET", "/update", { as: "viewer" });
    expect(body).toMatchObject({ last: { state: "trial", to: "1.1.0", trial } });
    tell({ state: "trial", progress: 100, to: "1.1.0", trial: "soon" });
    expect((await call("GET", "/update")).body).toMatchObject({ last: { trial: null } });
  });

  test("tells what became of USB sticks, newest first", async () => {
    const { call, stateDir } = await appliance();
    const stick = (device: string) => ({
      device,
      message: "it cannot be mounted",
      at: "2026-11-22T10:00:00Z",
    });
    const lines = [stick("sda1"), { device: "sdx" }, stick("sdb")];
    writeFileSync(
      join(stateDir, "usb.jsonl"),
      lines.map((line) => `${JSON.stringify(line)}\n`).join(""),
    );
    const { body } = await call("GET", "/update", { as: "viewer" });
    expect(body).toMatchObject({ usb: [stick("sdb"), stick("sda1")] });
  });

  test("files that are torn or nonsense read as nothing", async () => {
    const { call, stateDir } = await appliance();
    for (const text of ["", "{", "null", "[1]", '{"state":5}', '{"slots":{}}', "\0".repeat(100)]) {
      for (const name of ["status.json", "history.jsonl", "slots.json", "usb.jsonl"]) {
        writeFileSync(join(stateDir, name), text);
      }
      const body = { slots: [], last: null, history: [], usb: [] };
      expect(await call("GET", "/update")).toMatchObject({ status: 200, body });
    }
  });
});

test("where there is no appliance, both say so", async () => {
  const { call, spool } = await appliance({ isOne: false });
  const refusal = {
    status: 404,
    body: { code: "NOT_FOUND", message: expect.stringContaining("appliance") },
  };
  expect(await call("GET", "/update")).toMatchObject(refusal);
  expect(await call("POST", "/update", { body: BUNDLE, headers: OCTETS })).toMatchObject(refusal);
  expect(spooled(spool)).toEqual([]);
});

test("a fall back is known within ten seconds, until the next result", async () => {
  const { updates, clock, tell } = await appliance();
  expect(updates.fallBack()).toBeNull();
  tell({ state: "fell_back", to: "1.1.0", error: "why" });
  clock.advance(10_000);
  await until("the fall back", () => updates.fallBack() !== null);
  expect(updates.fallBack()).toMatchObject({ to: "1.1.0", error: "why" });
  tell({ state: "succeeded", to: "1.1.1" });
  clock.advance(10_000);
  await until("the next result", () => updates.fallBack() === null);
  await updates.stop();
});
