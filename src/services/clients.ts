import type { ClientInfo, ProtocolVersion } from "../mqtt/index.ts";
import { gradually } from "./gradually.ts";

/** Where the clients are known: the broker. */
export interface ClientDirectory {
  clients(): Iterable<ClientInfo>;
  client(clientId: string): ClientInfo | undefined;
}

/** Conditions on a client; absent ones do not matter. */
export interface ClientFilter {
  readonly clientId?: string;
  readonly username?: string;
  readonly isConnected?: boolean;
  readonly cleanStart?: boolean;
  readonly protocolVersion?: ProtocolVersion;
}

/** Who is connected, and whose session waits. */
export interface Clients {
  /** Connected clients, and sessions left behind (`isConnected` false), that meet every condition. */
  find(filter?: ClientFilter): Promise<readonly ClientInfo[]>;
}

export function createClients(deps: { directory: ClientDirectory }): Clients {
  return {
    find(filter = {}) {
      const candidates =
        filter.clientId === undefined
          ? deps.directory.clients()
          : [deps.directory.client(filter.clientId)];
      return gradually(candidates, (client) =>
        client !== undefined && fits(client, filter) ? client : undefined,
      );
    },
  };
}

function fits(client: ClientInfo, filter: ClientFilter): boolean {
  return (
    (filter.username === undefined || filter.username === client.username) &&
    (filter.isConnected === undefined || filter.isConnected === client.isConnected) &&
    (filter.cleanStart === undefined || filter.cleanStart === client.cleanStart) &&
    (filter.protocolVersion === undefined || filter.protocolVersion === client.protocolVersion)
  );
}
