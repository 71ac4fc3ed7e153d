/**
 * Measures this gateway against Debian's mosquitto, in turn in one run, and prints a table with the
 * ratio of each figure. Each broker is started afresh for every row and pinned to core 0; the load
 * generator (`mqttload.c`, built here) has core 1. Ours is what `npm run build` emits, as on a device.
 *
 * Usage: npm run bench [-- --only REGEX] [--runs N] [--secs N]
 *
 * Ours runs with default settings (fsync on) but for the queue limits the offline rows need;
 * mosquitto has persistence on, TCP_NODELAY and its queue limits raised.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type BridgedLoad, bridgedLoad } from "./bridge-load.ts";

const ROOT = join(import.meta.dirname, "../..");
const BUILD = join(ROOT, "node_modules/.cache/bench");
const LOAD = join(BUILD, "mqttload");

interface Row {
  readonly name: string;
  /** Arguments of the load generator. */
  readonly load: readonly string[];
  /** The member of its answer that is compared, and its unit. */
  readonly field: string;
  readonly unit: string;
  /** Whether a smaller figure is better. */
  readonly lessIsBetter: boolean;
  /** What mosquitto ÷ ours (or ours ÷ mosquitto where more is better) should reach. */
  readonly ratio?: number;
  /** An absolute limit for ours. */
  readonly limit?: number;
  /** How long the broker has had the same load before, s; default 0: it has just been started. */
  readonly warmUpS?: number;
}

const CPU = { field: "broker_us_per_msg", unit: "µs", lessIsBetter: true } as const;
const { values: options } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    runs: { type: "string", default: "3" },
    secs: { type: "string", default: "3" },
  },
});
const T = ["-t", options.secs];
const FAN_IN = ["fanin", "-P", "50", "-S", "5", ...T];
const FAN_OUT = ["fanout", "-S", "100", ...T];
const PAIRS = ["p2p", "-N", "50", ...T];
const P99 = {
  load: [...PAIRS, "-q1", "-r", "5000"],
  field: "p99_us",
  unit: "µs",
  lessIsBetter: true,
  ratio: 1,
} as const;

const ROWS: readonly Row[] = [
  { name: "fan-in 50 → 5, QoS 0", load: [...FAN_IN, "-q0"], ...CPU, ratio: 4 },
  { name: "fan-in 50 → 5, QoS 1", load: [...FAN_IN, "-q1"], ...CPU, ratio: 3 },
  { name: "fan-in 50 → 5, QoS 2", load: [...FAN_IN, "-q2", "-w20"], ...CPU, ratio: 4 },
  { name: "fan-out 1 → 100, QoS 0", load: [...FAN_OUT, "-q0"], ...CPU, ratio: 4 },
  { name: "fan-out 1 → 100, QoS 1", load: [...FAN_OUT, "-q1"], ...CPU, ratio: 3 },
  { name: "fan-out 1 → 100, QoS 2", load: [...FAN_OUT, "-q2", "-w20"], ...CPU, ratio: 4 },
  { name: "50 pairs, QoS 0", load: [...PAIRS, "-q0"], ...CPU, ratio: 4 },
  { name: "50 pairs, QoS 1", load: [...PAIRS, "-q1"], ...CPU, ratio: 3 },
  { name: "50 pairs, QoS 2", load: [...PAIRS, "-q2", "-w20"], ...CPU, ratio: 4 },
  { name: "50 pairs, QoS 0, MQTT 5", load: [...PAIRS, "-q0", "-V5"], ...CPU, ratio: 4 },
  { name: "50 pairs, QoS 1, MQTT 5", load: [...PAIRS, "-q1", "-V5"], ...CPU, ratio: 3 },
  { name: "50 pairs, QoS 2, MQTT 5", load: [...PAIRS, "-q2", "-V5", "-w20"], ...CPU, ratio: 4 },
  {
    name: "50 pairs, QoS 1, persistent sessions",
    load: [...PAIRS, "-q1", "-d"],
    ...CPU,
    ratio: 1.5,
  },
  {
    name: "10 pairs, 16 kB, QoS 0",
    load: ["p2p", "-N", "10", "-s", "16384", "-q0", ...T],
    ...CPU,
    ratio: 1,
  },
  { name: "p99 at 5,000 msg/s, QoS 1, just started", ...P99 },
  { name: "p99 at 5,000 msg/s, QoS 1, after 15 s", ...P99, warmUpS: 15 },
  {
    name: "retained exact, of 5,000",
    load: ["retained", "-n", "5000", "-l", "200"],
    field: "exact_p50_us",
    unit: "µs",
    lessIsBetter: true,
  },
  {
    name: "retained exact, of 100,000",
    load: ["retained", "-n", "100000", "-l", "200"],
    field: "exact_p50_us",
    unit: "µs",
    lessIsBetter: true,
    limit: 150,
  },
  {
    name: "retained #, of 100,000",
    load: ["retained", "-n", "100000", "-l", "1"],
    field: "all_per_s",
    unit: "msg/s",
    lessIsBetter: false,
  },
  {
    name: "offline queue of 100,000 stored",
    load: ["offline", "-n", "100000", "-S", "1", "-q1"],
    field: "store_per_s",
    unit: "msg/s",
    lessIsBetter: false,
  },
  {
    name: "offline queue of 100,000 drained",
    load: ["offline", "-n", "100000", "-S", "1", "-q1"],
    field: "drain_per_s",
    unit: "msg/s",
    lessIsBetter: false,
    limit: 100_000,
  },
  {
    name: "5,000 idle connections",
    load: ["idle", "-N", "5000", "-h", "2"],
    field: "kb_per_conn",
    unit: "kB each",
    lessIsBetter: true,
    limit: 12,
  },
  {
    name: "connect rate",
    load: ["idle", "-N", "5000", "-h", "0"],
    field: "connects_per_s",
    unit: "/s",
    lessIsBetter: false,
  },
];

interface Broker {
  readonly name: string;
  /** `cloudPort`: it sends everything on to the broker there. */
  start(dir: string, tcpPort: number, cloudPort?: number): ChildProcess;
}

const OURS: Broker = {
  name: "tidegate",
  start(dir, tcpPort, cloudPort) {
    const file = join(dir, "tidegate.yaml");
    writeFileSync(
      file,
      `listeners:
  tcp: {bind: 127.0.0.1, port: ${tcpPort}}
  ws: {enable: false}
http: {enable: false, password: bench}
auth: {allow_anonymous: true}
log: {level: warn}
msq_len: 1000000
${cloudPort === undefined ? "" : bridgeTo(cloudPort)}
`,
    );
    const main = join(ROOT, "dist/main.js");
    // The options and the compile cache of systemd/tidegate.service.
    return pinned(
      [process.execPath, "--max-semi-space-size=8", main].concat(
        ["run", "--config", file],
        ["--data", join(dir, "data")],
      ),
      { ...process.env, NODE_COMPILE_CACHE: join(BUILD, "compile-cache") },
    );
  },
};

const MOSQUITTO: Broker = {
  name: "mosquitto",
  start(dir, tcpPort, cloudPort) {
    const file = join(dir, "mosquitto.conf");
    writeFileSync(
      file,
      [
        `listener ${tcpPort} 127.0.0.1`,
        "allow_anonymous true",
        "set_tcp_nodelay true",
        "max_queued_messages 1000000",
        "max_inflight_messages 1000",
        "persistence true",
        `persistence_location ${dir}/`,
        "user root",
        "log_dest none",
        ...(cloudPort === undefined
          ? []
          : ["connection cloud", `address 127.0.0.1:${cloudPort}`, "topic # out 1"]),
        "",
      ].join("\n"),
    );
    return pinned(["/usr/sbin/mosquitto", "-c", file]);
  },
};

function bridgeTo(cloudPort: number): string {
  const rules = JSON.stringify([{ local_topic: "#" }]);
  return `bridges: {cloud: {server: "mqtt://127.0.0.1:${cloudPort}", max_inflight: 1000, forwards: ${rules}}}`;
}

function pinned(command: readonly string[], env: NodeJS.ProcessEnv = process.env): ChildProcess {
  return spawn("taskset", ["-c", "0", ...command], { stdio: "ignore", env });
}

async function answers(tcpPort: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(tcpPort, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    }).once("error", () => resolve(false));
  });
}

/** Starts a broker in `dir`, waits until it accepts connections, runs `work`, stops it. */
async function withBroker<T>(
  broker: Broker,
  dir: string,
  work: (tcpPort: number, pid: number, readyMs: number) => Promise<T>,
  cloudPort?: number,
): Promise<T> {
  const tcpPort = 20_000 + Math.floor(Math.random() * 10_000);
  const startMs = performance.now();
  const child = broker.start(dir, tcpPort, cloudPort);
  const { pid } = child;
  if (pid === undefined) throw new Error(`${broker.name} cannot be started`);
  try {
    while (!(await answers(tcpPort))) {
      if (child.exitCode !== null) throw new Error(`${broker.name} ended with ${child.exitCode}`);
      if (performance.now() - startMs > 60_000) throw new Error(`${broker.name} does not answer`);
      await delay(5);
    }
    return await work(tcpPort, pid, performance.now() - startMs);
  } finally {
    const gone = new Promise((resolve) => child.once("exit", resolve));
    if (child.exitCode === null) {
      child.kill("SIGTERM");
      await gone;
    }
  }
}

function load(args: readonly string[], tcpPort: number, pid: number): Record<string, number> {
  const output = execFileSync(
    "taskset",
    ["-c", "1", LOAD, ...args, "-p", String(tcpPort), "-M", String(pid)],
    { encoding: "utf8", timeout: 300_000 },
  );
  return JSON.parse(output) as Record<string, number>;
}

async function inTempDir<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), "bench-"));
  try {
    return await work(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function show(value: number): string {
  if (Number.isNaN(value)) return "–";
  return value >= 1000 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);
}

/** The generator counts what went wrong; a figure of a run that lost messages is marked. */
function faultsOf(answer: Record<string, number>): string {
  return ["lost", "out_of_order", "disconnects", "proto_err", "refused"]
    .filter((name) => (answer[name] ?? 0) > 0)
    .map((name) => `${name} ${answer[name]}`)
    .join(", ");
}

async function measure(row: Row): Promise<string> {
  const figures = new Map<Broker, number[]>([
    [OURS, []],
    [MOSQUITTO, []],
  ]);
  const notes = new Set<string>();
  for (let run = 0; run < Number(options.runs); run++) {
    for (const [broker, values] of figures) {
      const answer = await inTempDir((dir) =>
        withBroker(broker, dir, async (tcpPort, pid) => {
          // The generator takes the last of equal options.
          if (row.warmUpS) load([...row.load, "-t", String(row.warmUpS)], tcpPort, pid);
          return load(row.load, tcpPort, pid);
        }),
      );
      values.push(answer[row.field] ?? Number.NaN);
      const faults = faultsOf(answer);
      if (faults !== "") notes.add(`${broker.name}: ${faults}`);
      if ((answer["gen_cpu"] ?? 0) > 0.95) notes.add(`${broker.name}: the generator was the limit`);
    }
  }
  const ours = median(figures.get(OURS) ?? []);
  const theirs = median(figures.get(MOSQUITTO) ?? []);
  const ratio = row.lessIsBetter ? theirs / ours : ours / theirs;
  const wants = [
    row.ratio === undefined ? null : { text: `ratio ≥ ${row.ratio}`, isMet: ratio >= row.ratio },
    row.limit === undefined
      ? null
      : {
          text: `${row.lessIsBetter ? "≤" : "≥"} ${show(row.limit)}`,
          isMet: row.lessIsBetter ? ours <= row.limit : ours >= row.limit,
        },
  ].filter((want) => want !== null);
  const target = wants.map((want) => `${want.text} ${want.isMet ? "✓" : "✗"}`).join(", ");
  return `| ${row.name} | ${show(ours)} ${row.unit} | ${show(theirs)} ${row.unit} | ${show(ratio)} | ${target} | ${[...notes].join("; ")} |`;
}

/** Start to accepting connections with an empty store and with 100,000 queued messages. */
async function measureStart(): Promise<string[]> {
  const starts: number[] = [];
  // The first one fills the compile cache, as the first start of a device does.
  for (let start = 0; start <= Number(options.runs); start++) {
    const ms = await inTempDir((dir) =>
      withBroker(OURS, dir, async (_port, _pid, readyMs) => readyMs),
    );
    if (start > 0) starts.push(ms);
  }
  const emptyMs = median(starts);
  return await inTempDir(async (dir) => {
    // The generator is ended between storing and reading back, so the queue stays.
    const fill = ["offline", "-n", "100000", "-S", "1", "-q1", "-x", "kill -9 $PPID"];
    await withBroker(OURS, dir, async (tcpPort) => {
      spawnSync(LOAD, [...fill, "-p", String(tcpPort)], { stdio: "ignore" });
    });
    const fullMs = await withBroker(OURS, dir, async (_port, _pid, readyMs) => readyMs);
    return [
      `| start, empty store | ${show(emptyMs)} ms | – | – | ≤ 500 ${emptyMs <= 500 ? "✓" : "✗"} | |`,
      `| start, 100,000 queued | ${show(fullMs)} ms | – | – | ≤ 3,000 ${fullMs <= 3000 ? "✓" : "✗"} | |`,
    ];
  });
}

/** QoS 1 sent on to a mosquitto by a bridge, ours and mosquitto's own. */
async function measureBridge(): Promise<string> {
  const count = 5000 * Number(options.secs);
  const figures = new Map<Broker, BridgedLoad[]>([
    [OURS, []],
    [MOSQUITTO, []],
  ]);
  for (let run = 0; run < Number(options.runs); run++) {
    for (const [broker, loads] of figures) {
      const figure = await inTempDir((above) =>
        withBroker(MOSQUITTO, above, (cloudPort) =>
          inTempDir((dir) =>
            withBroker(
              broker,
              dir,
              (tcpPort, pid) => bridgedLoad(tcpPort, cloudPort, pid, count),
              cloudPort,
            ),
          ),
        ),
      );
      loads.push(figure);
    }
  }
  const middle = (broker: Broker, field: keyof BridgedLoad) =>
    median((figures.get(broker) ?? []).map((load) => load[field]));
  const ours = middle(OURS, "usPerMessage");
  const theirs = middle(MOSQUITTO, "usPerMessage");
  const rates = `${show(middle(OURS, "perSecond"))} and ${show(middle(MOSQUITTO, "perSecond"))} msg/s`;
  return `| bridged, QoS 1 | ${show(ours)} µs | ${show(theirs)} µs | ${show(theirs / ours)} | – | ${rates} |`;
}

/** Share of a core that sampling the device takes, in a process that does nothing else. */
function measureTelemetry(): string {
  const seconds = 60;
  const script = join(import.meta.dirname, "telemetry-cost.ts");
  const cpuMs = (...args: string[]) =>
    Number(
      execFileSync("taskset", ["-c", "0", process.execPath, script, String(seconds), ...args]),
    );
  const percent = (cpuMs() - cpuMs("alone")) / (seconds * 10);
  const target = `≤ 0.5 ${percent <= 0.5 ? "✓" : "✗"}`;
  return `| telemetry | ${show(percent)} % of a core | – | – | ${target} | |`;
}

mkdirSync(BUILD, { recursive: true });
execFileSync("npm", ["run", "--silent", "build"], { cwd: ROOT, stdio: "inherit" });
execFileSync("cc", ["-O2", "-o", LOAD, join(import.meta.dirname, "mqttload.c")], {
  stdio: "inherit",
});
if (!existsSync("/usr/sbin/mosquitto")) throw new Error("install Debian's mosquitto first");
const model =
  /model name\s*: (.*)/.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "unknown CPU";
console.log(
  `${model}, Node ${process.version}, median of ${options.runs} runs of ${options.secs} s\n`,
);
console.log(
  "| | tidegate | mosquitto | ratio | target | notes |\n| --- | ---: | ---: | ---: | --- | --- |",
);
const only = new RegExp(options.only, "i");
for (const row of ROWS.filter(({ name }) => only.test(name))) console.log(await measure(row));
if (only.test("start")) for (const line of await measureStart()) console.log(line);
if (only.test("bridged")) console.log(await measureBridge());
if (only.test("telemetry")) console.log(measureTelemetry());
