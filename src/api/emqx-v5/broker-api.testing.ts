import { createBroker } from "../../broker/index.ts";
import { Rig, type RigOptions, until } from "../../broker/rig.testing.ts";
import { WireClient } from "../../broker/wire.testing.ts";
import type { Config } from "../../config/index.ts";
import { createClients } from "../../services/clients.ts";
import { configWith } from "../../services/configuration/memory-config-store.testing.ts";
import type { Services } from "../../services/index.ts";
import { createPublisher } from "../../services/publish.ts";
import { createRetainedMessages } from "../../services/retained.ts";
import { createSubscriptions } from "../../services/subscriptions.ts";
import type { Method, Route } from "./kit/index.ts";
import { startApi, type TestRoutes } from "./kit/kit.testing.ts";

export { until, WireClient };

export const NODE = "tidegate@127.0.0.1";

/** CONNECT of a session that outlives its connection. */
export const KEEP = { clean: false, properties: { sessionExpiryInterval: 600 } };

export type BrokerServices = Pick<
  Services,
  "node" | "clients" | "subscriptions" | "publisher" | "retained"
>;

type Parsed = ReturnType<typeof JSON.parse>;

export interface BrokerApi extends TestRoutes {
  readonly rig: Rig;
  /** The retainer's settings, as they were changed. */
  readonly retainer: { now: Config["retainer"] };
  /** Sends a request, the body as JSON; the answer's is read as tests compare it. */
  send(method: Method, path: string, body?: unknown): Promise<{ status: number; body: Parsed }>;
  connect(
    clientId: string,
    more?: Parameters<typeof WireClient.connect>[2],
    version?: 3 | 4 | 5,
  ): Promise<WireClient>;
  /** A session whose client has gone. */
  leave(clientId: string, filter?: string): Promise<void>;
}

/** Routes on the real services and a real broker, with real MQTT clients. */
export async function startBrokerApi(
  routesOf: (services: BrokerServices) => readonly Route[],
  options: RigOptions = {},
): Promise<BrokerApi> {
  const rig = await Rig.start(createBroker, options);
  const retainer = { now: configWith().retainer };
  const api = await startApi(
    routesOf({
      node: { name: NODE },
      clients: createClients({ directory: rig.broker }),
      subscriptions: createSubscriptions({ directory: rig.broker }),
      publisher: createPublisher({ bus: rig.broker, maxPacketSizeBytes: () => 10_000 }),
      retained: createRetainedMessages({
        directory: rig.broker,
        settings: () => retainer.now,
        async store(settings) {
          retainer.now = settings;
        },
      }),
    }),
  );
  const connect: BrokerApi["connect"] = (clientId, more, version) =>
    WireClient.connect(rig.tcpPort, clientId, more, version);
  return {
    ...api,
    rig,
    retainer,
    async send(method, path, body) {
      const reply = await api.call(method, path, { body });
      return { status: reply.status, body: JSON.parse(JSON.stringify(reply.body)) };
    },
    connect,
    async leave(clientId, filter = "q") {
      const client = await connect(clientId, KEEP);
      await client.subscribe(filter, 1);
      client.drop();
      await until(() => rig.broker.client(clientId)?.isConnected === false);
    },
    async close() {
      await api.close();
      await rig.close();
    },
  };
}
