import { createBridges } from "../../bridge/bridges.ts";
import { MemoryBus } from "../../bridge/bus.testing.ts";
import { testOutboxes } from "../../bridge/outbox.testing.ts";
import {
  CONNACK_OK,
  CONNECT,
  PUBACK,
  PUBLISH,
  readPublish,
  ScriptedServer,
} from "../../bridge/scripted-server.testing.ts";
import { createLog } from "../../log/index.ts";
import { createBridgesService } from "../../services/bridges.ts";
import {
  configWith,
  MemoryConfigStore,
} from "../../services/configuration/memory-config-store.testing.ts";
import { systemClock } from "../../time/index.ts";
import { actionRoutes, sourceRoutes } from "./actions.ts";
import { bridgeRoutes } from "./bridges.ts";
import { connectorRoutes } from "./connectors.ts";
import { startApi } from "./kit/kit.testing.ts";

export type BridgeApi = Awaited<ReturnType<typeof startBridgeApi>>;

/** The routes of bridges on real bridges, and a cloud that acknowledges everything. */
export async function startBridgeApi(bridgesConfig: Record<string, unknown> = {}) {
  const got: string[] = [];
  const cloud = await ScriptedServer.start({
    onPacket: (connection, packet) => {
      if (packet.type === CONNECT) connection.send(CONNACK_OK);
      if (packet.type === 8) {
        connection.send(Buffer.of(0x90, 3, packet.body[0] ?? 0, packet.body[1] ?? 0, 1));
      }
      if (packet.type !== PUBLISH) return;
      const { topic, packetId, qos, payload } = readPublish(packet);
      got.push(`${topic} ${payload}`);
      if (qos === 1) connection.send(Buffer.of(PUBACK << 4, 2, packetId >> 8, packetId & 0xff));
    },
  });
  const log = createLog({ level: "fatal" }, { write: () => undefined });
  const config = configWith({ bridges: bridgesConfig });
  const store = new MemoryConfigStore(config);
  const bus = new MemoryBus();
  const bridges = createBridges(
    {
      log,
      clock: systemClock,
      bus,
      deviceId: "d1",
      node: "n1",
      ...testOutboxes(systemClock),
    },
    config.bridges,
  );
  store.onChanged = (next) => bridges.apply(next.bridges);
  const service = createBridgesService({
    directory: bridges,
    store,
    configuration: {
      change: async (draft) =>
        store.change((await draft(store.stored())).patch, async () => undefined),
    },
  });
  await bridges.start();
  const services = { node: { name: "tidegate@127.0.0.1" }, bridges: service };
  const api = await startApi([
    ...connectorRoutes(services),
    ...actionRoutes(services),
    ...sourceRoutes(services),
    ...bridgeRoutes(services),
  ]);
  return {
    ...api,
    cloud,
    got,
    bus,
    store,
    bridges,
    server: `127.0.0.1:${cloud.tcpPort}`,
    async close() {
      await api.close();
      await bridges.stop();
      await cloud[Symbol.asyncDispose]();
    },
  };
}
