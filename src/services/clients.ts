import { isIP } from "node:net";
import { GatewayError } from "../errors/index.ts";
import type {
  ClientDetails,
  ClientInfo,
  ProtocolVersion,
  QueuePage,
  QueuePart,
  SessionGlance,
} from "../mqtt/index.ts";
import { gradually } from "./gradually.ts";

/** Which part of whose queue is asked for. */
export interface QueueQuestion {
  readonly part: QueuePart;
  /** Only what stands behind this place (see `QueuedView`); null = from the beginning. */
  readonly after: number | null;
  readonly maxMessages: number;
  /** The page ends with the message that reaches this many topic and payload bytes. */
  readonly maxBytes: number;
}

/** Where the clients are known: the broker. */
export interface ClientDirectory {
  clients(): Iterable<ClientInfo>;
  client(clientId: string): ClientInfo | undefined;
  /** In the order of their numbers. */
  sessions(): Iterable<SessionGlance>;
  session(clientId: string): SessionGlance | undefined;
  sessionCount(): number;
  details(clientId: string): ClientDetails | undefined;
  describe(session: SessionGlance): ClientDetails;
  /** False when there is no such session. @throws GatewayError STORE_WRITE_FAILED */
  removeClient(clientId: string): Promise<boolean>;
  /** @throws GatewayError CLIENT_NOT_FOUND */
  setKeepAlive(clientId: string, seconds: number): void;
  /** @throws GatewayError CLIENT_NOT_FOUND, STORE_READ_FAILED */
  queue(clientId: string, question: QueueQuestion): Promise<QueuePage>;
}

/** Conditions on a client; absent ones do not matter. */
export interface ClientFilter {
  readonly clientId?: string;
  readonly username?: string;
  readonly isConnected?: boolean;
  readonly cleanStart?: boolean;
  readonly protocolVersion?: ProtocolVersion;
}

/** Conditions on a session, all to be met; absent ones do not matter. */
export interface SessionFilter {
  /** One of these. */
  readonly clientIds?: readonly string[];
  readonly usernames?: readonly string[];
  /** Parts of the text, as they are written. */
  readonly clientIdPart?: string;
  readonly usernamePart?: string;
  /** IPv4 or IPv6, in any spelling. */
  readonly address?: string;
  readonly isOnline?: boolean;
  readonly cleanStart?: boolean;
  readonly version?: ProtocolVersion;
  /** Wall clock, ms, inclusive. */
  readonly createdFromMs?: number;
  readonly createdToMs?: number;
  readonly connectedFromMs?: number;
  readonly connectedToMs?: number;
}

/** Who is connected, and whose session waits. */
export interface Clients {
  /** Connected clients, and sessions left behind (`isConnected` false), that meet every condition. */
  find(filter?: ClientFilter): Promise<readonly ClientInfo[]>;
  /** Sessions in the order of their numbers: all, or of named clients those that there are. */
  sessions(clientIds?: readonly string[]): Iterable<SessionGlance>;
  sessionCount(): number;
  /** What tells whether a session meets `filter`. */
  matcher(filter: SessionFilter): (session: SessionGlance) => boolean;
  /** Undefined for a client without a session. */
  details(clientId: string): ClientDetails | undefined;
  /** The same of one of `sessions()`, even when it has ended meanwhile. */
  describe(session: SessionGlance): ClientDetails;
  /** Closes the connection and ends the session with all it has. @throws GatewayError CLIENT_NOT_FOUND, STORE_WRITE_FAILED */
  remove(clientId: string): Promise<void>;
  /** The same for those of `clientIds` that there are. @throws GatewayError STORE_WRITE_FAILED */
  removeAll(clientIds: readonly string[]): Promise<void>;
  /** @param seconds 0 = never. @throws GatewayError CLIENT_NOT_FOUND when not connected */
  setKeepAlive(clientId: string, seconds: number): void;
  /** @throws GatewayError CLIENT_NOT_FOUND, STORE_READ_FAILED */
  queue(clientId: string, question: QueueQuestion): Promise<QueuePage>;
  /** Sessions connected, or left behind at `sinceMs` (wall clock) or later. */
  countSince(sinceMs: number): Promise<number>;
}

/** Removed at once; each waits for the disk. */
const REMOVED_TOGETHER = 100;

export function createClients(deps: { directory: ClientDirectory }): Clients {
  const { directory } = deps;
  return {
    find(filter = {}) {
      const candidates =
        filter.clientId === undefined ? directory.clients() : [directory.client(filter.clientId)];
      return gradually(candidates, (client) =>
        client !== undefined && fits(client, filter) ? client : undefined,
      );
    },

    sessions(clientIds) {
      if (clientIds === undefined) return directory.sessions();
      return [...new Set(clientIds)]
        .map((clientId) => directory.session(clientId))
        .filter((session) => session !== undefined)
        .sort((a, b) => a.number - b.number);
    },

    sessionCount: () => directory.sessionCount(),
    matcher,
    details: (clientId) => directory.details(clientId),
    describe: (session) => directory.describe(session),

    async remove(clientId) {
      if (await directory.removeClient(clientId)) return;
      throw new GatewayError("CLIENT_NOT_FOUND", { clientId });
    },

    async removeAll(clientIds) {
      for (let i = 0; i < clientIds.length; i += REMOVED_TOGETHER) {
        const some = clientIds.slice(i, i + REMOVED_TOGETHER);
        await Promise.all(some.map((clientId) => directory.removeClient(clientId)));
      }
    },

    setKeepAlive: (clientId, seconds) => directory.setKeepAlive(clientId, seconds),
    queue: (clientId, question) => directory.queue(clientId, question),

    async countSince(sinceMs) {
      const counted = await gradually(directory.sessions(), (session) =>
        session.isOnline || session.sinceMs >= sinceMs ? true : undefined,
      );
      return counted.length;
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

function matcher(filter: SessionFilter): (session: SessionGlance) => boolean {
  const tests: ((session: SessionGlance) => boolean)[] = [];
  const { clientIds, usernames, clientIdPart, usernamePart, address } = filter;
  if (clientIds !== undefined) {
    const wanted = new Set(clientIds);
    tests.push(({ clientId }) => wanted.has(clientId));
  } else if (clientIdPart !== undefined) {
    tests.push(({ clientId }) => clientId.includes(clientIdPart));
  }
  if (usernames !== undefined) {
    const wanted = new Set(usernames);
    tests.push(({ username }) => username !== null && wanted.has(username));
  } else if (usernamePart !== undefined) {
    tests.push(({ username }) => username?.includes(usernamePart) === true);
  }
  if (address !== undefined) {
    const wanted = spelled(address);
    tests.push(({ peerAddress }) => spelled(peerAddress) === wanted);
  }
  const { isOnline, cleanStart, version } = filter;
  if (isOnline !== undefined) tests.push((session) => session.isOnline === isOnline);
  if (cleanStart !== undefined) tests.push((session) => session.cleanStart === cleanStart);
  if (version !== undefined) tests.push((session) => session.version === version);
  const { createdFromMs, createdToMs, connectedFromMs, connectedToMs } = filter;
  if (createdFromMs !== undefined) tests.push(({ createdMs }) => createdMs >= createdFromMs);
  if (createdToMs !== undefined) tests.push(({ createdMs }) => createdMs <= createdToMs);
  if (connectedFromMs !== undefined) tests.push((row) => row.connectedMs >= connectedFromMs);
  if (connectedToMs !== undefined) tests.push((row) => row.connectedMs <= connectedToMs);
  return (session) => tests.every((test) => test(session));
}

/** An address in its one canonical spelling; IPv4 inside IPv6 is IPv4. */
function spelled(address: string): string {
  if (isIP(address) !== 6) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  return mapped ?? new URL(`http://[${address.replace(/%.*$/, "")}]`).hostname;
}
