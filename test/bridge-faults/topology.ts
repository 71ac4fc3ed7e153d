import { freeTcpPort } from "../helpers/free-tcp-port.ts";
import { type Mosquitto, startMosquitto } from "../helpers/mosquitto.ts";
import { until } from "../helpers/until.ts";
import { Machine } from "./gateways.ts";

/** A mosquitto's bridge to the first gateway, see {@link Topology.cloud}. */
export const back = ["connection back", "address 127.0.0.1:PORT", "restart_timeout 1"];

/** What one gateway sends to another, or to the cloud's mosquitto. */
export interface Line {
  readonly to: number | "cloud";
  /** Rules to the filter's own topic, or to another. */
  readonly forwards?: readonly (string | readonly [from: string, to: string])[];
  readonly subscribes?: readonly string[];
  readonly version?: 4 | 5;
  readonly hasBridgeBit?: boolean;
}

export interface Topology {
  readonly name: string;
  /** The bridges of each gateway. */
  readonly gateways: readonly (readonly Line[])[];
  /** Lines of mosquitto.conf, in which `PORT` is the first gateway's, and `RELAY` the relay's. */
  readonly cloud?: readonly string[];
  /** Those of a second mosquitto. */
  readonly relay?: readonly string[];
  /** Marked messages come back once each: some are needed to show a rule at fault. */
  readonly messages?: number;
  /** Each gateway's clients begin a word of their own, and all of them go round. */
  readonly isEverywhere?: true;
  /** No probe comes back: what goes round is proven by timing. */
  readonly isTimed?: true;
  readonly isShort?: true;
}

export interface Built {
  readonly machines: readonly Machine[];
  readonly bridges: readonly (readonly string[])[];
  readonly mosquitto: Mosquitto | null;
  readonly relay: Mosquitto | null;
}

/** Starts all of it; the bridges are called `line0`, `line1` … */
export async function build(topology: Topology): Promise<Built> {
  const { gateways } = topology;
  const ports = await Promise.all(gateways.map(() => freeTcpPort()));
  const start = async (conf: readonly string[] | undefined, relayPort = 0) => {
    const named = (line: string) =>
      line.replace("PORT", String(ports[0])).replace("RELAY", String(relayPort));
    return conf === undefined ? null : startMosquitto({ lines: conf.map(named) });
  };
  const relay = await start(topology.relay);
  const mosquitto = await start(topology.cloud, relay?.tcpPort);
  const portOf = (to: Line["to"]) => (to === "cloud" ? mosquitto?.tcpPort : ports[to]);
  const machines = await Promise.all(
    gateways.map((bridges, index) => {
      const configs = bridges.map((line, at) => [
        `line${at}`,
        {
          server: `mqtt://127.0.0.1:${portOf(line.to)}`,
          proto_ver: line.version ?? 4,
          bridge_bit: line.hasBridgeBit ?? true,
          backoff_max_s: 1,
          forwards: (line.forwards ?? []).map((rule) =>
            typeof rule === "string"
              ? { local_topic: rule }
              : { local_topic: rule[0], remote_topic: rule[1] },
          ),
          subscription: (line.subscribes ?? []).map((remote_topic) => ({ remote_topic })),
        },
      ]);
      return Machine.start(Object.fromEntries(configs), ports[index]);
    }),
  );
  const bridges = gateways.map((lines) => lines.map((_, at) => `line${at}`));
  return { machines, bridges, mosquitto, relay };
}

/** Resolves when every bridge of the gateways is connected; gives them all. */
export async function connected({ machines, bridges }: Built): Promise<readonly End[]> {
  const ends = machines.flatMap((machine, at) =>
    (bridges[at] ?? []).map((bridge) => ({ machine, bridge })),
  );
  await Promise.all(
    ends.map(({ machine, bridge }) => {
      const isUp = async () => (await machine.status(bridge))["state"] === "connected";
      return until("the links", isUp, 20_000);
    }),
  );
  return ends;
}

/** One bridge of one gateway. */
export interface End {
  readonly machine: Machine;
  readonly bridge: string;
}

/** Mosquitto's own bridge has come. */
export async function isBack(machine: Machine): Promise<boolean> {
  const ids = await machine.clientIds();
  return ids.some((id) => id.endsWith(".back"));
}

/** The rules of a bridge that were cut, by name. */
export async function cutRules(machine: Machine, bridge: string): Promise<string[]> {
  const { rules } = (await machine.status(bridge)) as {
    rules?: readonly { readonly name: string; readonly state: string }[];
  };
  return (rules ?? []).filter((it) => it.state === "cut").map((it) => it.name);
}
