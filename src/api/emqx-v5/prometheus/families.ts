import { X509Certificate } from "node:crypto";
import {
  LEVEL_DOCS,
  LEVEL_NAMES,
  METRIC_DOCS,
  METRIC_NAMES,
  type MetricName,
} from "../../../mqtt/index.ts";
import type { Services } from "../../../services/index.ts";
import { builtInRuleCount, builtInUserCount } from "./access.ts";
import { type Family, single } from "./exposition.ts";

/** What the Prometheus operations are made of. */
export type PrometheusServices = Pick<
  Services,
  "node" | "metrics" | "figures" | "configuration" | "mqttAccess" | "bans"
> & { readonly statistics: Pick<Services["statistics"], "node" | "device"> };

/** Names that do not follow from the metric's (reference §5.4.4). */
const ODD_NAMES: Partial<Record<MetricName, string>> = {
  "packets.connect.received": "emqx_packets_connect",
  "messages.dropped.await_pubrel_timeout": "emqx_messages_dropped_expired",
};

/** Counters and levels of the broker, the machine, and what only Tidegate has (`tidegate_…`). */
export async function statsFamilies(services: PrometheusServices): Promise<readonly Family[]> {
  const { figures } = services;
  const own = [...figures.device(), ...figures.bridges()];
  return [
    ...brokerFamilies(services),
    ...machineFamilies(services),
    await certificateFamily(services),
    ...recordFamilies(services),
    ...own.map((figure) => ({ ...figure, name: `tidegate_${figure.name}` })),
  ];
}

function brokerFamilies({ metrics }: PrometheusServices): readonly Family[] {
  const counters = metrics.counters();
  const levels = metrics.levels();
  return [
    ...METRIC_NAMES.map((name) =>
      single(
        ODD_NAMES[name] ?? `emqx_${name.replaceAll(".", "_")}`,
        "counter",
        METRIC_DOCS[name],
        counters[name],
      ),
    ),
    ...LEVEL_NAMES.flatMap((name) => {
      const stem = `emqx_${name.replaceAll(".", "_")}`;
      const { now, max } = levels[name];
      return [
        single(`${stem}_count`, "gauge", LEVEL_DOCS[name], now),
        single(`${stem}_max`, "gauge", "The most since the start.", max),
      ];
    }),
  ];
}

/** What EMQX tells of its virtual machine, as far as this one has it. */
function machineFamilies({ statistics }: PrometheusServices): readonly Family[] {
  const device = statistics.device();
  const { uptimeMs, isReady, maxOpenFiles } = statistics.node();
  const cpu = numberOf(device["cpu_percent"]);
  const gauge = (name: string, doc: string, value: number | null): readonly Family[] =>
    value === null ? [] : [single(name, "gauge", doc, value)];
  return [
    ...gauge("emqx_cluster_nodes_running", "Nodes that run.", isReady ? 1 : 0),
    ...gauge("emqx_cluster_nodes_stopped", "Nodes that do not.", isReady ? 0 : 1),
    ...gauge("emqx_vm_cpu_use", "Processor time in use, percent.", cpu),
    ...gauge("emqx_vm_cpu_idle", "Processor time left, percent.", cpu === null ? null : 100 - cpu),
    ...gauge("emqx_vm_run_queue", "Load average of the last minute.", numberOf(device["load_1m"])),
    ...gauge("emqx_vm_uptime_ms", "Since the start of the gateway.", Math.floor(uptimeMs)),
    ...gauge("emqx_vm_max_fds", "Files the process may open.", maxOpenFiles),
    ...gauge(
      "emqx_vm_total_memory",
      "Memory of the device, bytes.",
      numberOf(device["memory_total_bytes"]),
    ),
    ...gauge("emqx_vm_used_memory", "Of it in use.", numberOf(device["memory_used_bytes"])),
  ];
}

function recordFamilies({ mqttAccess }: PrometheusServices): readonly Family[] {
  return [
    single(
      "emqx_authn_builtin_record_count",
      "gauge",
      "Users of the built-in database.",
      builtInUserCount(mqttAccess),
    ),
    single(
      "emqx_authz_builtin_record_count",
      "gauge",
      "Rules of the built-in database, by client, user, and for everybody.",
      builtInRuleCount(mqttAccess),
    ),
  ];
}

async function certificateFamily({ configuration }: PrometheusServices): Promise<Family> {
  const config = configuration.running();
  const { tls, wss } = config.listeners;
  const types = [...(tls.enable ? ["ssl"] : []), ...(wss.enable ? ["wss"] : [])];
  const pem = types.length === 0 ? null : (await configuration.pemTexts(config)).cert;
  const expiresAtS = pem === null ? null : expiryOf(pem);
  return {
    name: "emqx_cert_expiry_at",
    doc: "When the listener's certificate expires, epoch seconds.",
    kind: "gauge",
    samples:
      expiresAtS === null
        ? []
        : types.map((type) => ({
            labels: { listener_type: type, listener_name: "default" },
            value: expiresAtS,
          })),
  };
}

function expiryOf(pem: string): number | null {
  try {
    return Math.floor(Date.parse(new X509Certificate(pem).validTo) / 1000);
  } catch {
    // The listener says what is wrong with its file.
    return null;
  }
}

function numberOf(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}
