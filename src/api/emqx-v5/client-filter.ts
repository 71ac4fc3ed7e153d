import { isIP } from "node:net";
import type { Services, SessionFilter } from "../../services/index.ts";
import { FIELD_NAMES } from "./client-view.ts";
import { ApiError, parseTime } from "./kit/index.ts";
import { checkNode, NODE } from "./node-name.ts";

const text = (description: string, example: string) =>
  ({ type: "string", description, example }) as const;
const when = (description: string) =>
  text(`${description} RFC 3339, or ms since 1970.`, "2026-01-01T00:00:00Z");
const several = (description: string, example: string) =>
  ({
    type: "array",
    items: { type: "string" },
    description: `${description} Repeated: one of them.`,
    example: [example],
  }) as const;

/** The filters of both lists of clients (reference §5.5.1). */
export const CLIENT_QUERY = {
  node: NODE,
  clientid: several("Client id.", "sensor-7"),
  username: several("User name.", "press-3"),
  like_clientid: text("Part of the client id; left aside beside `clientid`.", "sensor"),
  like_username: text("Part of the user name; left aside beside `username`.", "press"),
  ip_address: text("Address of the client, IPv4 or IPv6.", "192.168.1.20"),
  conn_state: {
    type: "string",
    enum: ["connected", "idle", "disconnected"],
    description: "Whether it is connected; nobody is ever idle.",
  },
  clean_start: { type: "boolean", description: "Clean Start, or Clean Session." },
  proto_ver: {
    type: "string",
    enum: ["3", "4", "5"],
    description: "Protocol level: 3 = 3.1, 4 = 3.1.1, 5 = 5.0.",
  },
  gte_created_at: when("Session begun then or later."),
  lte_created_at: when("Session begun then or earlier."),
  gte_connected_at: when("Connected then or later."),
  lte_connected_at: when("Connected then or earlier."),
  fields: {
    type: "string",
    default: "all",
    description: "Names of the members wanted, separated by commas; `all` for all.",
    example: "clientid,username,connected",
  },
} as const;

/** What the schema of `CLIENT_QUERY` lets through. */
export interface ClientQuery {
  readonly node?: string;
  readonly clientid?: readonly string[];
  readonly username?: readonly string[];
  readonly like_clientid?: string;
  readonly like_username?: string;
  readonly ip_address?: string;
  readonly conn_state?: "connected" | "idle" | "disconnected";
  readonly clean_start?: boolean;
  readonly proto_ver?: "3" | "4" | "5";
  readonly gte_created_at?: string;
  readonly lte_created_at?: string;
  readonly gte_connected_at?: string;
  readonly lte_connected_at?: string;
  readonly fields?: string;
}

/** A query, understood. */
export interface ClientSelection {
  readonly filter: SessionFilter;
  /** Nothing can meet it. */
  readonly isVoid: boolean;
  readonly hasFilter: boolean;
  /** It cannot be said without looking at each how many meet it. */
  readonly isFuzzy: boolean;
  /** Members wanted; null = all. */
  readonly names: ReadonlySet<string> | null;
}

/** @throws ApiError 400 INVALID_PARAMETER, 400 BAD_REQUEST, 500 NODE_DOWN */
export function selectionOf(query: ClientQuery, node: Services["node"]): ClientSelection {
  checkNode(query.node, node);
  const { clientid, username, conn_state: state, clean_start: cleanStart } = query;
  const isOnline = state === "idle" ? undefined : state && state === "connected";
  const filter = defined<SessionFilter>({
    clientIds: clientid,
    usernames: username,
    clientIdPart: clientid === undefined ? query.like_clientid : undefined,
    usernamePart: username === undefined ? query.like_username : undefined,
    address: addressOf(query.ip_address),
    isOnline,
    cleanStart,
    version: VERSIONS.get(query.proto_ver ?? ""),
    createdFromMs: timeOf(query.gte_created_at),
    createdToMs: timeOf(query.lte_created_at),
    connectedFromMs: timeOf(query.gte_connected_at),
    connectedToMs: timeOf(query.lte_connected_at),
  });
  const isFuzzy = FUZZY.some((name) => filter[name] !== undefined);
  const isVoid = state === "idle";
  return {
    filter,
    isVoid,
    hasFilter: isVoid || Object.keys(filter).length > 0,
    isFuzzy,
    names: namesOf(query.fields ?? "all"),
  };
}

const VERSIONS = new Map([
  ["3", 3],
  ["4", 4],
  ["5", 5],
] as const) as ReadonlyMap<string, 3 | 4 | 5>;

const FUZZY = [
  "clientIdPart",
  "usernamePart",
  "createdFromMs",
  "createdToMs",
  "connectedFromMs",
  "connectedToMs",
] as const;

function addressOf(address: string | undefined): string | undefined {
  if (address === undefined || isIP(address) !== 0) return address;
  const shown = JSON.stringify(address.slice(0, 100).toWellFormed());
  throw new ApiError(400, "INVALID_PARAMETER", `ip_address, an IP address: ${shown}`);
}

function timeOf(time: string | undefined): number | undefined {
  return time === undefined ? undefined : parseTime(time, "ms");
}

function namesOf(fields: string): ReadonlySet<string> | null {
  if (fields === "all") return null;
  const names = fields.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !FIELD_NAMES.has(name));
  if (unknown === undefined) return new Set(names);
  const value = unknown.slice(0, 100).toWellFormed();
  throw new ApiError(
    400,
    "BAD_REQUEST",
    JSON.stringify({ kind: "validation_error", path: "fields", reason: "unknown_fields", value }),
  );
}

function defined<T extends object>(members: { [Name in keyof T]?: T[Name] | undefined }): T {
  const entries = Object.entries(members).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as T;
}
