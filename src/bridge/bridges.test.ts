import { describe, expect, it } from "vitest";
import { createLog } from "../log/index.ts";
import { topic } from "../mqtt/index.ts";
import { systemClock } from "../time/index.ts";
import { bridgeConfig, eventually, forward } from "./bridge.testing.ts";
import { createBridges } from "./bridges.ts";
import { MemoryBus } from "./bus.testing.ts";
import { testOutboxes } from "./outbox.testing.ts";
import {
  CONNACK_OK,
  CONNACK_SESSION,
  CONNECT,
  PUBACK,
  PUBLISH,
  readPublish,
  ScriptedServer,
} from "./scripted-server.testing.ts";

/** A cloud that acknowledges what it gets, and the payloads in their order. */
async function cloudThatAcknowledges() {
  const got: string[] = [];
  const server = await ScriptedServer.start({
    onPacket: (connection, packet) => {
      if (packet.type === CONNECT) {
        connection.send(connection.number === 1 ? CONNACK_OK : CONNACK_SESSION);
      }
      if (packet.type !== PUBLISH) return;
      const { packetId, payload } = readPublish(packet);
      got.push(payload);
      connection.send(Buffer.of(PUBACK << 4, 2, packetId >> 8, packetId & 0xff));
    },
  });
  return { got, server, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

function start(cfg: Parameters<typeof createBridges>[1], outboxes = testOutboxes(systemClock)) {
  const bus = new MemoryBus();
  const alarms = new Set<string>();
  const log = createLog({ level: "fatal" }, { write: () => {} });
  const deps = {
    log,
    clock: systemClock,
    bus,
    deviceId: "d1",
    node: "n1",
    alarms: {
      raise: (name: string) => void alarms.add(name),
      clear: (name: string) => void alarms.delete(name),
    },
    ...outboxes,
  };
  const bridges = createBridges(deps, cfg);
  return { bus, bridges, alarms, [Symbol.asyncDispose]: () => bridges.stop() };
}

describe("bridges that change while they run", () => {
  it("a bridge that is added starts, one that is removed stops and takes its $SYS topic back", async () => {
    await using cloud = await cloudThatAcknowledges();
    await using test = start({});
    await test.bridges.start();
    test.bridges.apply({ cloud: bridgeConfig({ server: cloud.server.url }) });
    await eventually(() => expect(test.bridges.find("cloud")?.status.state).toBe("connected"));
    test.bridges.apply({});
    expect(test.bridges.list()).toEqual([]);
    await eventually(() => {
      const last = test.bus.published.findLast(
        (it) => it.topic === "$SYS/brokers/n1/bridges/cloud",
      );
      expect(last).toMatchObject({ retain: true });
      expect(last?.payload).toHaveLength(0);
    });
  });

  it("a change loses no message and doubles none, whatever is published around it", async () => {
    await using cloud = await cloudThatAcknowledges();
    const cfg = bridgeConfig({ server: cloud.server.url, forwards: [forward("t/#")] });
    await using test = start({ cloud: cfg });
    await test.bridges.start();
    for (let n = 0; n < 300; n++) {
      await test.bus.send("t/1", String(n));
      if (n % 20 === 10) test.bridges.apply({ cloud: { ...cfg, keepalive_s: 60 + n } });
      if (n % 50 === 49) await eventually(() => expect(cloud.got.length).toBeGreaterThan(n - 25));
    }
    await eventually(() => expect(new Set(cloud.got).size).toBe(300));
    const first = [...new Set(cloud.got)].map(Number);
    expect(first).toEqual(Array.from({ length: 300 }, (_, n) => n));
  });

  it("a bridge whose configuration is the same keeps its connection", async () => {
    await using cloud = await cloudThatAcknowledges();
    const cfg = bridgeConfig({ server: cloud.server.url });
    await using test = start({ cloud: cfg });
    await test.bridges.start();
    await eventually(() => expect(test.bridges.find("cloud")?.status.state).toBe("connected"));
    test.bridges.apply({ cloud: { ...cfg }, other: bridgeConfig({ enable: false }) });
    expect(test.bridges.list().map(({ status }) => status.state)).toEqual([
      "connected",
      "disabled",
    ]);
    expect(cloud.server.connections).toHaveLength(1);
  });

  it("what waits for a bridge that is not configured any more is told of, and kept until it is forgotten", async () => {
    const outboxes = testOutboxes(systemClock);
    for (const name of ["gone", "back"]) {
      void outboxes
        .openOutbox(name)
        .append({ topic: topic("t"), payload: Buffer.from("1"), qos: 1, retain: false });
    }
    await using test = start({}, outboxes);
    await test.bridges.start();
    expect([...test.alarms].toSorted()).toEqual(["bridge_left_back", "bridge_left_gone"]);
    expect(await test.bridges.forget("gone")).toBe(true);
    expect(await test.bridges.forget("gone")).toBe(false);
    test.bridges.apply({ back: bridgeConfig({ enable: false }) });
    expect([...test.alarms]).toEqual([]);
    expect(outboxes.waiting()).toMatchObject([{ name: "back", messages: 1 }]);
    expect(await test.bridges.forget("back")).toBe(false);
  });

  it("a restart dials anew and tells what became of it", async () => {
    await using cloud = await cloudThatAcknowledges();
    await using test = start({ cloud: bridgeConfig({ server: cloud.server.url }) });
    await test.bridges.start();
    await test.bridges.settled("cloud");
    expect(await test.bridges.restart("cloud")).toMatchObject({ state: "connected" });
    expect(cloud.server.connections).toHaveLength(2);
    expect(await test.bridges.restart("nobody")).toBeNull();
  });

  it("a probe tells whether the server accepts, under a client id of its own", async () => {
    await using cloud = await cloudThatAcknowledges();
    await using refusing = await ScriptedServer.start({
      onPacket: (connection) => connection.send(Buffer.of(0x20, 2, 0, 5)),
    });
    await using test = start({});
    const probe = (url: string) => test.bridges.probe("cloud", bridgeConfig({ server: url }));
    expect(await probe(cloud.server.url)).toBeNull();
    expect(await probe(refusing.url)).toBe("not authorised (CONNACK 5)");
    const connect = cloud.server.connections[0]?.packets[0]?.body.toString("latin1");
    expect(connect).toMatch(/tidegate-d1-cloud-[0-9a-f]{6}/);
  });
});
