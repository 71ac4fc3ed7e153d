import { isGatewayError } from "../../errors/index.ts";
import type { Settings } from "../../services/index.ts";
import { defaultsOfRoot, readRoot, shownRoot } from "./config-fields.ts";
import { ALL_ROOTS, ROOTS, ZONE_ROOTS } from "./config-roots.ts";
import { parseHocon, printHocon } from "./hocon.ts";
import { ApiError, empty, ok, type Route, route, text } from "./kit/index.ts";

const TEST = "src/api/emqx-v5/configs.test.ts";

/** What EMQX itself does not let anybody change while it runs. */
const READ_ONLY: ReadonlySet<string> = new Set(["cluster", "node", "rpc"]);

const TREE = {
  type: "object",
  additionalProperties: true,
  description: "Options by their names in EMQX.",
} as const;

const RESTARTS =
  "What can apply at once does; for the rest the gateway restarts two seconds after the answer. Options that have one value here are refused with any other.";

type Patch = Readonly<Record<string, unknown>>;

/** `/configs` (reference §5.11.2). */
export function configRoutes({
  node,
  settings,
}: {
  readonly node: { readonly name: string };
  readonly settings: Settings;
}): readonly Route[] {
  const described = { tag: "Configs", section: "5.11.2", test: TEST } as const;
  const zone = () =>
    Object.fromEntries(
      Object.entries(ZONE_ROOTS).map(([name, root]) => [name, shownRoot(root, settings.stored())]),
    );
  const all = () => ({
    ...Object.fromEntries(
      Object.entries(ALL_ROOTS).map(([name, root]) => [name, shownRoot(root, settings.stored())]),
    ),
    rewrite: settings.stored().rewrite,
    node: { name: node.name },
  });

  /** A root's part of a change; lists are taken as they are, the schema checks them. */
  const patchOf = (name: string, body: unknown): Patch => {
    const root = Object.hasOwn(ALL_ROOTS, name) ? ALL_ROOTS[name] : undefined;
    if (name === "rewrite") return { rewrite: body };
    if (root === undefined) throw new ApiError(400, "BAD_REQUEST", `${name}: unknown root`);
    return readRoot(name, root, body, settings.stored());
  };

  const change = async (patches: readonly Patch[]): Promise<void> => {
    try {
      await settings.change(patches.reduce(merged, {}));
    } catch (err) {
      const isRefused =
        isGatewayError(err, "CONFIG_CHECK_FAILED") ||
        isGatewayError(err, "CONFIG_KEY_UNKNOWN") ||
        isGatewayError(err, "CONFIG_VALUE_INVALID");
      if (isRefused) throw new ApiError(400, "UPDATE_FAILED", err.message);
      throw err;
    }
  };

  const one = (name: keyof typeof ROOTS) => {
    const priority = name === "log" || name === "alarm" ? "P2" : "P3";
    return [
      route({
        ...described,
        method: "GET",
        path: `/configs/${name}`,
        summary: `The options of ${name}`,
        priority,
        schema: { answers: { 200: TREE } },
        handle: () => ok(shownRoot(ROOTS[name], settings.stored())),
      }),
      route({
        ...described,
        method: "PUT",
        path: `/configs/${name}`,
        summary: `Change options of ${name}`,
        description: RESTARTS,
        priority,
        schema: { body: TREE, answers: { 200: TREE } },
        async handle({ body }) {
          await change([patchOf(name, body)]);
          return ok(shownRoot(ROOTS[name], settings.stored()));
        },
      }),
    ];
  };

  return [
    route({
      ...described,
      method: "GET",
      path: "/configs",
      summary: "The whole configuration",
      description: "HOCON unless JSON is asked for by `Accept`.",
      priority: "P3",
      produces: "text/plain",
      schema: {
        query: {
          type: "object",
          properties: {
            key: { type: "string", description: "One root only.", example: "mqtt" },
            node: { type: "string", description: "Name of the node.", example: node.name },
          },
        },
        answers: { 200: { anyOf: [{ type: "string" }, TREE] } },
      },
      handle({ query, header }) {
        if (query.node !== undefined && query.node !== node.name) {
          throw new ApiError(404, "NOT_FOUND", `Node not found: ${query.node}`);
        }
        const whole: Readonly<Record<string, unknown>> = all();
        const { key } = query;
        if (key !== undefined && !Object.hasOwn(whole, key)) {
          throw new ApiError(404, "NOT_FOUND", `there is no root ${key}`);
        }
        const values = key === undefined ? whole : { [key]: whole[key] };
        const kind = acceptedKind(header("accept"));
        if (kind === null) {
          throw new ApiError(400, "INVALID_ACCEPT", "text/plain and application/json can be had");
        }
        return kind === "json" ? ok(values) : text(printHocon(values));
      },
    }),
    route({
      ...described,
      method: "PUT",
      path: "/configs",
      summary: "Change the configuration",
      description: `${RESTARTS} Everything is checked before anything is changed; roots that are left out stay in both modes.`,
      priority: "P3",
      consumes: ["text"],
      schema: {
        query: {
          type: "object",
          properties: {
            mode: {
              type: "string",
              enum: ["merge", "replace"],
              default: "merge",
              description: "replace: options of a root that are left out get their defaults.",
            },
            ignore_readonly: {
              type: "boolean",
              default: false,
              description: "Leave out roots nobody may change instead of refusing them.",
            },
          },
        },
        body: { type: "string", description: "HOCON.", example: "mqtt { max_inflight = 32 }" },
        answers: { 200: null },
      },
      async handle({ query, body }) {
        const patches: Patch[] = [];
        const errors: Record<string, string> = {};
        for (const [name, value] of Object.entries(parseHocon(body))) {
          if (READ_ONLY.has(name) && query.ignore_readonly === true) continue;
          try {
            const root = Object.hasOwn(ALL_ROOTS, name) ? ALL_ROOTS[name] : undefined;
            const reset = query.mode === "replace" && root ? defaultsOfRoot(root, null) : null;
            const patch = patchOf(name, value);
            patches.push(...(reset === null ? [] : [reset]), patch);
          } catch (err) {
            if (!(err instanceof ApiError)) throw err;
            errors[name] = err.message;
          }
        }
        if (Object.keys(errors).length > 0) {
          throw new ApiError(400, "UPDATE_FAILED", Object.values(errors).join("; "), { errors });
        }
        await change(patches);
        return empty(200);
      },
    }),
    route({
      ...described,
      method: "GET",
      path: "/configs/global_zone",
      summary: "MQTT options and what belongs to them",
      priority: "P2",
      schema: { answers: { 200: TREE } },
      handle: () => ok(zone()),
    }),
    route({
      ...described,
      method: "PUT",
      path: "/configs/global_zone",
      summary: "Change MQTT options",
      description: RESTARTS,
      priority: "P2",
      schema: { body: TREE, answers: { 200: TREE } },
      async handle({ body }) {
        const patches = Object.entries(body).map(([name, value]) => {
          if (Object.hasOwn(ZONE_ROOTS, name)) return patchOf(name, value);
          throw new ApiError(400, "BAD_REQUEST", `${name}: unknown_fields`);
        });
        await change(patches);
        return ok(zone());
      },
    }),
    ...one("alarm"),
    ...one("broker"),
    ...one("dashboard"),
    ...one("file_transfer"),
    ...one("log"),
    ...one("sys_topics"),
    ...one("sysmon"),
    route({
      ...described,
      method: "POST",
      path: "/configs_reset/{root}",
      summary: "Put options back to their defaults",
      description: RESTARTS,
      priority: "P3",
      schema: {
        query: {
          type: "object",
          properties: {
            conf_path: {
              type: "string",
              description: "Only the option at this path below the root.",
              example: "os.cpu_high_watermark",
            },
          },
        },
        answers: { 200: null },
      },
      async handle({ params, query }) {
        const root = Object.hasOwn(ALL_ROOTS, params.root) ? ALL_ROOTS[params.root] : undefined;
        if (root === undefined) {
          throw new ApiError(400, "RESET_FAILED", `there is no root ${params.root}`);
        }
        const patch = defaultsOfRoot(root, query.conf_path ?? null);
        if (patch === null) {
          throw new ApiError(400, "NO_DEFAULT_VALUE", "nothing there can be changed");
        }
        await change([patch]);
        return empty(200);
      },
    }),
  ];
}

function acceptedKind(accept: string | undefined): "text" | "json" | null {
  const kinds = (accept ?? "*/*").split(",").map((part) => part.split(";", 1)[0]?.trim() ?? "");
  for (const kind of kinds) {
    if (kind === "application/json") return "json";
    if (kind === "text/plain" || kind === "*/*" || kind === "text/*" || kind === "") return "text";
  }
  return null;
}

/** Trees are merged, everything else is replaced. */
function merged(left: Patch, right: Patch): Patch {
  const result: Record<string, unknown> = { ...left };
  for (const [name, value] of Object.entries(right)) {
    const before = result[name];
    result[name] = isTree(before) && isTree(value) ? merged(before, value) : value;
  }
  return result;
}

function isTree(value: unknown): value is Patch {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
