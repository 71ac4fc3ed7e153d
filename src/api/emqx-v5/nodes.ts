import type { Services } from "../../services/index.ts";
import { DEVICE } from "./device-member.ts";
import { API_VERSION, ApiError, ok, type Route, route } from "./kit/index.ts";

const integer = (description: string, example: number) =>
  ({ type: "integer", description, example }) as const;
const number = (description: string) => ({ type: "number", description, example: 0.23 }) as const;
const string = (description: string, example: string) =>
  ({ type: "string", description, example }) as const;

const PROPERTIES = {
  node: string("Name of this gateway.", "tidegate@127.0.0.1"),
  node_status: { type: "string", enum: ["running", "stopped"], description: "Whether it is up." },
  version: string("Release of EMQX whose API this is.", API_VERSION),
  gateway: string("Release of the gateway itself.", "tidegate/0.1.0"),
  edition: string("Always `Opensource`.", "Opensource"),
  role: string("Always `core`.", "core"),
  uptime: integer("Since the start, ms.", 5120),
  connections: integer("Sessions, those of disconnected clients included.", 12),
  live_connections: integer("Clients connected now.", 10),
  cluster_sessions: integer("Sessions.", 12),
  load1: number("Load average of the device, 1 minute."),
  load5: number("Load average of the device, 5 minutes."),
  load15: number("Load average of the device, 15 minutes."),
  max_fds: {
    anyOf: [{ type: "integer" }, { type: "string", enum: ["infinity"] }],
    description: "Files and sockets the gateway may hold.",
    example: 65_536,
  },
  memory_total: string("Memory of the device.", "1.94G"),
  memory_used: string("Memory in use.", "512.00M"),
  process_available: integer("Files and sockets the gateway may hold.", 65_536),
  process_used: integer("Files and sockets it holds.", 61),
  otp_release: string("Release of the runtime, which is Node.js here.", "24.21.0"),
  sys_path: string("Directory the gateway runs in.", "/opt/tidegate"),
  log_path: string("Empty: the log goes to the service manager.", ""),
  device: DEVICE,
} as const;

const NODE = {
  type: "object",
  properties: PROPERTIES,
  required: Object.keys(PROPERTIES) as (keyof typeof PROPERTIES)[],
} as const;

const common = {
  method: "GET",
  tag: "Nodes",
  section: "5.3",
  priority: "P1",
  test: "src/api/emqx-v5/misc.test.ts",
} as const;

/** `/nodes` (reference §5.3): this gateway, which is the only one. */
export function nodeRoutes(services: Pick<Services, "node" | "statistics">): readonly Route[] {
  return [
    route({
      ...common,
      path: "/nodes",
      summary: "This gateway, as a list",
      schema: { answers: { 200: { type: "array", items: NODE } } },
      handle: () => ok([nodeOf(services)]),
    }),
    route({
      ...common,
      path: "/nodes/{node}",
      summary: "This gateway",
      schema: { answers: { 200: NODE } },
      handle({ params }) {
        checkNode(services, params.node);
        return ok(nodeOf(services));
      },
    }),
  ];
}

/** Refuses every name but this gateway's. @throws ApiError 404 NOT_FOUND */
function checkNode({ node }: Pick<Services, "node">, name: string): void {
  if (name !== node.name) throw new ApiError(404, "NOT_FOUND", `Node not found: ${name}`);
}

function nodeOf({ node, statistics }: Pick<Services, "node" | "statistics">) {
  const facts = statistics.node();
  const device = statistics.device();
  const metric = (name: string) => {
    const value = device[name];
    return typeof value === "number" ? value : 0;
  };
  const maxFds = facts.maxOpenFiles;
  return {
    node: node.name,
    node_status: facts.isReady ? "running" : "stopped",
    version: API_VERSION,
    gateway: `tidegate/${facts.version}`,
    edition: "Opensource",
    role: "core",
    uptime: Math.round(facts.uptimeMs),
    connections: facts.sessions,
    live_connections: facts.connections,
    cluster_sessions: facts.sessions,
    load1: metric("load_1m"),
    load5: metric("load_5m"),
    load15: metric("load_15m"),
    max_fds: maxFds ?? "infinity",
    memory_total: sizeText(metric("memory_total_bytes")),
    memory_used: sizeText(metric("memory_used_bytes")),
    process_available: maxFds ?? Number.MAX_SAFE_INTEGER,
    process_used: metric("process_open_files"),
    otp_release: process.versions.node,
    sys_path: process.cwd(),
    log_path: "",
    device,
  };
}

/** `1.94G`: two decimals and K, M or G in steps of 1024, plain digits below 1 K. */
export function sizeText(bytes: number): string {
  if (bytes < 1024) return String(Math.round(bytes));
  const power = Math.min(3, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(2)}${" KMG"[power]}`;
}
