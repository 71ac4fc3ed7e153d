import type { SecureContextOptions } from "node:tls";
import type { Config } from "../config/index.ts";
import type { ListenerPlan } from "./listener.ts";
import { loadTlsMaterial } from "./tls-material.ts";

/**
 * What to open: the listeners that are enabled, with the TLS files they need. `onUnusable` hears of
 * those whose files cannot be used, which are left out, and may throw.
 */
export async function loadPlans(
  { listeners, extra_listeners: extra, tls }: Pick<Config, "listeners" | "extra_listeners" | "tls">,
  maxPacketSizeBytes: number,
  onUnusable: (listener: string, err: unknown) => void,
): Promise<readonly ListenerPlan[]> {
  const rows = [
    { name: "tcp", type: "tcp", cfg: { ...listeners.tcp, path: "" }, tls, key: "tls" },
    { name: "tls", type: "ssl", cfg: { ...listeners.tls, path: "" }, tls, key: "tls" },
    { name: "ws", type: "ws", cfg: listeners.ws, tls, key: "tls" },
    { name: "wss", type: "wss", cfg: listeners.wss, tls, key: "tls" },
    ...Object.entries(extra).map(([name, cfg]) => {
      const isOwn = cfg.tls.cert_file !== null;
      const key = isOwn ? `extra_listeners.${name}.tls` : "tls";
      return { name, type: name.split(":", 1)[0], cfg, tls: isOwn ? cfg.tls : tls, key };
    }),
  ];
  const materials = new Map<string, SecureContextOptions>();
  const plans: ListenerPlan[] = [];
  for (const { name, type, cfg, tls: config, key } of rows) {
    if (!cfg.enable) continue;
    const isSecure = type === "ssl" || type === "wss";
    let material: SecureContextOptions | null = null;
    try {
      if (isSecure) material = materials.get(key) ?? (await loadTlsMaterial(config, key));
    } catch (err) {
      onUnusable(name, err);
      continue;
    }
    if (material !== null) materials.set(key, material);
    plans.push({
      name,
      place: { bind: cfg.bind, tcpPort: cfg.port },
      maxConnections: cfg.max_connections,
      maxConnectsPerS: cfg.max_connects_per_s,
      tls: material === null ? null : { config, material },
      webSocket: type === "ws" || type === "wss" ? { path: cfg.path, maxPacketSizeBytes } : null,
    });
  }
  return plans;
}
