import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";
import { startChild } from "../helpers/child.ts";
import { freeTcpPort } from "../helpers/free-tcp-port.ts";
import { startGateway } from "../helpers/gateway-process.ts";
import { login } from "../helpers/http-v5.ts";
import { connectDevice } from "../helpers/mqtt.ts";
import { PseudoDevice } from "../helpers/pseudo-device.ts";
import { tempDir } from "../helpers/temp-dir.ts";

it("reads serial devices and Modbus slaves that the API names, at once and after a restart", async () => {
  const meter = await PseudoDevice.plugged("ttyMeter");
  const program = join(tempDir(), "slave");
  const source = join(import.meta.dirname, "../helpers/modbus-slave.c");
  execFileSync("cc", ["-O1", "-o", program, source, "-lmodbus"]);
  const slavePort = await freeTcpPort();
  await startChild(program, ["tcp", String(slavePort)]).waitForOutput(/ready/);

  const gateway = await startGateway({ supervised: true });
  const api = await login(gateway.ports.http);
  const device = await connectDevice(gateway.ports.tcp, {
    clientId: "listener",
    subscribe: ["serial/#", "modbus/#"],
  });

  const port = { device: meter.path, payload: "text", down_topic: "meter/down" };
  expect(await api("POST", "/serial_ports", { name: "meter", ...port })).toMatchObject({
    status: 201,
    body: { name: "meter", baud_rate: 9600, status: { state: "open" } },
  });
  meter.say("21.5 C\r\n");
  await device.receives(1);
  expect(device.received[0]).toMatchObject({ topic: "serial/meter/up", payload: "21.5 C" });
  await device.client.publishAsync("meter/down", "on", { qos: 1 });
  await expect.poll(() => meter.received.toString()).toBe("on\n");

  const line = {
    host: "127.0.0.1",
    tcp_port: slavePort,
    slaves: [
      {
        name: "plc",
        groups: [{ name: "all", period_s: 0.2, tags: [{ name: "level", address: 42 }] }],
      },
    ],
  };
  expect(await api("POST", "/modbus_lines", { name: "hall", ...line })).toMatchObject({
    status: 201,
  });
  await device.receives(2);
  expect(device.received[1]?.topic).toBe("modbus/hall/plc/all");
  expect(JSON.parse(device.received[1]?.payload ?? "")).toMatchObject({
    values: { level: { value: 42, quality: "good" } },
  });

  expect(await api("GET", "/serial_ports/meter")).toMatchObject({
    body: { status: { framesIn: 1, framesOut: 1, bytesIn: 8 } },
  });
  expect(await api("POST", "/serial_ports", { name: "meter", ...port })).toMatchObject({
    status: 409,
    body: { code: "ALREADY_EXISTS" },
  });
  expect(await api("POST", "/serial_ports", { name: "twin", ...port })).toMatchObject({
    status: 400,
    body: { message: expect.stringContaining("serial.meter has it") },
  });
  expect(await api("PUT", "/serial_ports/meter", { ...port, baud_rate: 3 })).toMatchObject({
    status: 400,
    body: { message: expect.stringContaining("serial.meter.baud_rate") },
  });
  expect(
    await api("POST", "/modbus_lines", { name: "x", port: "meter", slaves: [] }),
  ).toMatchObject({
    status: 400,
    body: { message: expect.stringContaining("its use is not modbus") },
  });

  process.kill(gateway.pid, "SIGKILL");
  const again = await gateway.readyAgain(gateway.readyAt);
  const later = await connectDevice(again.ports.tcp, { subscribe: ["serial/#"] });
  meter.say("22.0 C\n");
  await later.receives(1);
  expect(later.received[0]?.payload).toBe("22.0 C");

  const second = await login(again.ports.http);
  expect(await second("DELETE", "/serial_ports/meter")).toMatchObject({ status: 204 });
  expect(await second("GET", "/serial_ports")).toMatchObject({ body: [] });
}, 60_000);
