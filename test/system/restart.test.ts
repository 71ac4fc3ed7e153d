import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { freeTcpPort } from "../helpers/free-tcp-port.ts";
import { startGateway } from "../helpers/gateway-process.ts";
import { v1 } from "../helpers/http.ts";
import { connectDevice } from "../helpers/mqtt.ts";

describe("request 10", () => {
  it("stop ends the process with 0, after the answer", async () => {
    const gateway = await startGateway();
    const answer = await v1(gateway.ports.http, { req: 10, action: "stop" });
    expect(answer).toEqual({ status: 200, body: { code: 0, seq: 1, rep: 10 } });
    expect(await gateway.child.exited).toEqual({ code: 0, signal: null });
  });

  it("restart ends the process with 75, after the answer", async () => {
    const gateway = await startGateway();
    await v1(gateway.ports.http, { req: 10, action: "RESTART" });
    expect(await gateway.child.exited).toEqual({ code: 75, signal: null });
  });

  it("restart under scripts/run comes back by itself", async () => {
    const gateway = await startGateway({ supervised: true });
    await v1(gateway.ports.http, { req: 10, action: "restart" });
    const { ports } = await gateway.readyAgain(gateway.readyAt);
    expect((await v1(ports.http, { req: 2 })).body.code).toBe(0);
  });

  it("stop under scripts/run is final", async () => {
    const gateway = await startGateway({ supervised: true });
    await v1(gateway.ports.http, { req: 10, action: "stop" });
    expect(await gateway.child.exited).toEqual({ code: 0, signal: null });
  });
});

describe("request 12", () => {
  it("is written, answered, and in force after the restart that follows by itself", async () => {
    const gateway = await startGateway({ supervised: true });
    const tcpPort = await freeTcpPort();
    const answer = await v1(gateway.ports.http, {
      req: 12,
      data: { url: `nmq-tcp://127.0.0.1:${tcpPort}`, allow_anonymous: false, msq_len: 77 },
    });
    expect(answer).toEqual({ status: 200, body: { code: 0, seq: 1, rep: 12 } });
    const { ports } = await gateway.readyAgain(gateway.readyAt);
    expect(ports.tcp).toBe(tcpPort);
    const { data } = (await v1(ports.http, { req: 11 })).body;
    expect(data).toMatchObject({
      url: `nmq-tcp://127.0.0.1:${tcpPort}`,
      allow_anonymous: false,
      msq_len: 77,
    });
    await expect(connectDevice(tcpPort)).rejects.toThrow(/refused/i);
    const kept = readFileSync(join(gateway.dataDir, "config/current.yaml"), "utf8");
    expect(kept).toContain("msq_len: 77");
    expect(kept).not.toContain("keepalive");
  });

  it("with what request 11 gave changes nothing and restarts nothing", async () => {
    const gateway = await startGateway({ supervised: true });
    const { data } = (await v1(gateway.ports.http, { req: 11 })).body;
    const answer = await v1(gateway.ports.http, { req: 12, data });
    expect(answer.body.code).toBe(0);
    expect((await v1(gateway.ports.http, { req: 11 })).body.data).toEqual(data);
    expect(gateway.child.output().match(/"msg":"ready"/g)).toHaveLength(1);
  });

  it("refused leaves the file and the process alone and names field and value", async () => {
    const gateway = await startGateway();
    const answer = await v1(gateway.ports.http, { req: 12, data: { msq_len: -5 } });
    expect(answer).toMatchObject({ status: 400, body: { code: 108 } });
    expect(JSON.stringify(answer.body)).toMatch(/msq_len.*-5/);
    expect((await v1(gateway.ports.http, { req: 11 })).body.data).toMatchObject({ msq_len: 2048 });
  });

  it("with confirm_s is taken back unless it is confirmed in that time", async () => {
    const gateway = await startGateway({ supervised: true });
    let { http } = gateway.ports;
    const change = (msq_len: number) => v1(http, { req: 12, data: { msq_len }, confirm_s: 10 });
    const shown = () => v1(http, { req: 11 });

    await change(70);
    const second = await gateway.readyAgain(gateway.readyAt);
    ({ http } = second.ports);
    expect(await shown()).toMatchObject({
      body: { data: { msq_len: 70 }, config_status: { on_trial: true, confirm_within_s: 10 } },
    });
    expect((await v1(http, { req: 12, confirm: true })).body.code).toBe(0);
    expect((await shown()).body).not.toHaveProperty("config_status");

    await change(71);
    const third = await gateway.readyAgain(second.readyAt);
    ({ http } = third.ports);
    expect(await shown()).toMatchObject({ body: { data: { msq_len: 71 } } });
    ({ http } = (await gateway.readyAgain(third.readyAt)).ports);
    expect(await shown()).toMatchObject({
      body: {
        data: { msq_len: 70 },
        config_status: { rolled_back: { reason: expect.stringContaining("within 10 s") } },
      },
    });
    const late = await v1(http, { req: 12, confirm: true });
    expect(late.body).toMatchObject({ code: 108, message: expect.stringContaining("10 s") });
  }, 60_000);

  it("that cannot start is taken back after two failed starts, and the statistics say so", async () => {
    const gateway = await startGateway({ supervised: true });
    const blocked = await freeTcpPort();
    const answer = await v1(gateway.ports.http, {
      req: 12,
      data: { url: `nmq-tcp://127.0.0.1:${blocked}` },
    });
    expect(answer.body.code).toBe(0);
    // The port was free when it was checked; somebody takes it before the restart.
    const thief = createServer().listen(blocked, "127.0.0.1");
    onTestFinished(() => {
      thief.close();
    });
    const { ports } = await gateway.readyAgain(gateway.readyAt, 30_000);
    expect(ports.tcp).not.toBe(blocked);
    const log = gateway.child.output();
    expect(log.match(/LISTENER_BIND_FAILED/g)?.length).toBe(2);
    expect(log).toContain("configuration taken back");
    const status = await fetch(`http://127.0.0.1:${ports.http}/status`);
    expect(await status.json()).toMatchObject({ rolled_back: true });
    const { body } = await v1(ports.http, { req: 11 });
    expect(JSON.stringify(body)).toContain(`port ${blocked}: `);
  }, 40_000);
});
