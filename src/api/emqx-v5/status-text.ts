/** What the status says, and its services. */
export interface StatusServices {
  readonly node: { readonly name: string };
  readonly statistics: { node(): { readonly isReady: boolean } };
}

/** Name of the cluster this single node says it is: EMQX's default, which its tools expect. */
export const CLUSTER = "emqxcl";

/** `GET /status?format=json` of EMQX (reference §5.3), without the version. */
export function statusOf({ node, statistics }: StatusServices) {
  const { isReady } = statistics.node();
  return {
    node_name: node.name,
    cluster: CLUSTER,
    broker_status: isReady ? "started" : "stopped",
    app_status: isReady ? "running" : "not_running",
  };
}

/** The two lines health probes look for `is running` in, without a line end. */
export function statusText(services: StatusServices): string {
  const status = statusOf(services);
  return `Node ${status.node_name} is ${status.broker_status}\nemqx is ${status.app_status}`;
}
