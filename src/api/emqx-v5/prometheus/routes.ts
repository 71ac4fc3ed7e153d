import { isDeepStrictEqual } from "node:util";
import { ApiError, ok, type Route, route, text } from "../kit/index.ts";
import { authFamilies } from "./access.ts";
import { EXPOSITION_TYPE, type Family, renderFamilies } from "./exposition.ts";
import { type PrometheusServices, statsFamilies } from "./families.ts";
import { integrationFamilies } from "./integration.ts";

const TEST = "src/api/emqx-v5/prometheus/prometheus.test.ts";

/** What is not there: said as EMQX says its defaults, so that its tools can show them. */
const FIXED = {
  push_gateway: {
    enable: false,
    url: "http://127.0.0.1:9091",
    interval: "15s",
    headers: {},
    job_name: "${name}/instance/${name}~${host}",
    method: "put",
  },
  collectors: {
    vm_dist: "disabled",
    mnesia: "disabled",
    vm_statistics: "disabled",
    vm_system_info: "disabled",
    vm_memory: "disabled",
    vm_msacc: "disabled",
  },
} as const;

const COLLECTOR = { type: "string", enum: ["enabled", "disabled"], example: "disabled" } as const;

const SETTINGS = {
  type: "object",
  additionalProperties: false,
  properties: {
    enable_basic_auth: {
      type: "boolean",
      description: "Whether the metrics need a login.",
      example: true,
    },
    push_gateway: {
      type: "object",
      additionalProperties: false,
      description: "Metrics are fetched, never pushed: `enable` is false.",
      properties: {
        enable: { type: "boolean", example: false },
        url: { type: "string", example: "http://127.0.0.1:9091" },
        interval: { type: ["string", "integer"], example: "15s" },
        headers: { type: "object", additionalProperties: { type: "string" }, example: {} },
        job_name: { type: "string", example: "${name}/instance/${name}~${host}" },
        method: { type: "string", enum: ["put", "post"], example: "put" },
      },
    },
    collectors: {
      type: "object",
      additionalProperties: false,
      description: "Figures of Erlang's virtual machine, which is not here: all disabled.",
      properties: {
        vm_dist: COLLECTOR,
        mnesia: COLLECTOR,
        vm_statistics: COLLECTOR,
        vm_system_info: COLLECTOR,
        vm_memory: COLLECTOR,
        vm_msacc: COLLECTOR,
      },
    },
  },
} as const;

const CHANGE = {
  ...SETTINGS,
  properties: {
    ...SETTINGS.properties,
    enable: { type: "boolean", description: "Form before 5.4: pushing.", example: false },
    push_gateway_server: { type: "string", description: "Form before 5.4.", example: "" },
    interval: { type: ["string", "integer"], description: "Form before 5.4.", example: "15s" },
  },
} as const;

const MODE = {
  type: "object",
  properties: {
    mode: {
      type: "string",
      enum: ["node", "all_nodes_aggregated", "all_nodes_unaggregated"],
      default: "node",
      description: "One node is all there is; the last form labels every value with its name.",
    },
  },
} as const;

/** `/prometheus/…` (reference §5.4.4). */
export function prometheusRoutes(services: PrometheusServices): readonly Route[] {
  const { node, configuration } = services;
  const isOpen = (): boolean => !configuration.current().prometheus.enable_basic_auth;
  const settings = () =>
    ok({ enable_basic_auth: configuration.current().prometheus.enable_basic_auth, ...FIXED });

  const exposed = (
    path: string,
    summary: string,
    priority: "P1" | "P3",
    families: () => readonly Family[] | Promise<readonly Family[]>,
  ): Route =>
    route({
      method: "GET",
      path,
      tag: "Prometheus",
      summary,
      description:
        "Prometheus's text format, version 0.0.4. Needs a login unless `enable_basic_auth` is false.",
      section: "5.4.4",
      priority,
      access: () => (isOpen() ? "public" : "any"),
      schema: { query: MODE, answers: { 200: { type: "string", example: EXAMPLE } } },
      produces: "text/plain",
      test: TEST,
      async handle({ query }) {
        const isLabelled = query.mode === "all_nodes_unaggregated";
        const common = isLabelled ? { node: node.name } : {};
        return text(renderFamilies(await families(), common), EXPOSITION_TYPE);
      },
    });

  return [
    exposed("/prometheus/stats", "Every metric", "P1", () => statsFamilies(services)),
    exposed("/prometheus/auth", "Metrics of login and access rules", "P3", () =>
      authFamilies(services),
    ),
    exposed("/prometheus/data_integration", "Metrics of bridges", "P3", () =>
      integrationFamilies(services),
    ),
    route({
      method: "GET",
      path: "/prometheus",
      tag: "Prometheus",
      summary: "Settings of the metrics",
      section: "5.4.4",
      priority: "P3",
      schema: { answers: { 200: SETTINGS } },
      test: TEST,
      handle: settings,
    }),
    route({
      method: "PUT",
      path: "/prometheus",
      tag: "Prometheus",
      summary: "Change the settings of the metrics",
      description:
        "Applies at once. Pushing and Erlang's collectors cannot be switched on; their values are accepted as they are shown.",
      section: "5.4.4",
      priority: "P3",
      schema: { body: CHANGE, answers: { 200: SETTINGS } },
      test: TEST,
      async handle({ body }) {
        if (body.enable === true || body.push_gateway?.enable === true) {
          throw new ApiError(
            400,
            "BAD_REQUEST",
            "push_gateway.enable: metrics are not pushed; fetch /prometheus/stats instead",
          );
        }
        requireFixed(body.push_gateway, FIXED.push_gateway, "push_gateway");
        requireFixed(body.collectors, FIXED.collectors, "collectors");
        const { enable_basic_auth } = body;
        if (enable_basic_auth !== undefined) {
          const patch = { prometheus: { enable_basic_auth } };
          await configuration.change(async () => ({ patch, pems: {} }), { force: false });
        }
        return settings();
      },
    }),
  ];
}

const EXAMPLE = `# HELP emqx_messages_received Application messages received from clients.
# TYPE emqx_messages_received counter
emqx_messages_received 12
`;

/** @throws ApiError 400 for a value that would have no effect */
function requireFixed(
  wanted: Readonly<Record<string, unknown>> | undefined,
  fixed: Readonly<Record<string, unknown>>,
  name: string,
): void {
  for (const [key, value] of Object.entries(wanted ?? {})) {
    if (isDeepStrictEqual(value, fixed[key])) continue;
    const shown = JSON.stringify(fixed[key]);
    throw new ApiError(400, "BAD_REQUEST", `${name}.${key}: cannot be changed from ${shown}`);
  }
}
