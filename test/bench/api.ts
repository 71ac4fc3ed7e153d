/**
 * Measures the HTTP API of a gateway with many clients: the time of each request, and the worst round
 * trip of an MQTT message meanwhile. The gateway is what `npm run build` emits, on core 0; the clients,
 * the canary and this script are on the others.
 *
 * Usage: node test/bench/api.ts [--only REGEX] [--runs N] [--clients N] [--filters N]
 */
import { type ChildProcess, execFileSync, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import type { CanaryFigures } from "../faults/canary-figures.ts";

const ROOT = join(import.meta.dirname, "../..");
const { values: options } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    runs: { type: "string", default: "3" },
    clients: { type: "string", default: "10000" },
    filters: { type: "string", default: "5" },
  },
});
/** Nobody's message takes longer while the API is asked. */
const TARGET_MS = 50;

const ROWS: readonly string[] = [
  "",
  "/api/v5/clients?limit=10000",
  "/api/v5/clients?limit=100&page=1",
  "/api/v5/clients?limit=100&page=100",
  "/api/v5/clients?limit=10&page=1",
  "/api/v5/clients?limit=10&page=1000",
  "/api/v5/clients?like_clientid=9999&limit=100",
  "/api/v5/clients?like_username=none",
  "/api/v5/clients_v2?limit=10000",
  "/api/v5/subscriptions?limit=10000",
  "/api/v5/subscriptions?limit=50&page=1",
  "/api/v5/subscriptions?limit=50&page=1000",
  "/api/v5/subscriptions?match_topic=line7%2F%23&limit=10000",
  "/api/v5/topics?limit=10000",
  "/api/v5/topics?limit=10000&page=5",
  "/api/v5/metrics",
  "/api/v5/stats",
  "/api/v5/nodes",
  "/api/v5/prometheus/stats",
  "/api/v4/clients",
  "/api/v4/subscriptions",
];

/** Finds a port nobody has now. */
async function freePort(): Promise<number> {
  const { createServer } = await import("node:net");
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (typeof address !== "object" || address === null) throw new Error("no port");
  return address.port;
}

async function answers(tcpPort: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(tcpPort, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    }).once("error", () => resolve(false));
  });
}

function startGateway(dir: string, mqtt: number, http: number): ChildProcess {
  const file = join(dir, "tidegate.yaml");
  const most = Number(options.clients) + 1000;
  writeFileSync(
    file,
    `listeners:
  tcp: {bind: 127.0.0.1, port: ${mqtt}, max_connections: ${most}}
  ws: {enable: false}
limits: {max_connections: ${most}}
http: {bind: 127.0.0.1, port: ${http}, emqx_port: null, password: bench-0}
auth: {allow_anonymous: true, users: []}
log: {level: warn}
`,
  );
  const command = ["-c", "0", process.execPath, "--max-semi-space-size=8"];
  command.push(join(ROOT, "dist/main.js"), "run", "--config", file, "--data", join(dir, "data"));
  return spawn("taskset", command, { stdio: "ignore" });
}

/** Whole answers, read as a client would. */
async function request(url: string, authorization: string): Promise<{ ms: number; bytes: number }> {
  const startMs = performance.now();
  const reply = await fetch(url, { headers: { authorization } });
  const { length: bytes } = await reply.text();
  if (!reply.ok) throw new Error(`${url}: ${reply.status}`);
  return { ms: performance.now() - startMs, bytes };
}

/** A canary's figures while `work` is done. */
async function sing(tcpPort: number, work: () => Promise<void>): Promise<CanaryFigures> {
  const canary = new Worker(new URL("../faults/canary-worker.ts", import.meta.url), {
    workerData: { tcpPort, crowdedTopics: [] },
    execArgv: [],
  });
  await once(canary, "message");
  await delay(200);
  await work();
  await delay(200);
  const answer = once(canary, "message");
  canary.postMessage("stop");
  const [figures] = (await answer) as [CanaryFigures];
  await canary.terminate();
  return figures;
}

/**
 * What holds the loop shows in every run, what else the machine does in some: so the worst round trip
 * is that of the run that was disturbed least.
 */
async function measure(path: string, base: string, authorization: string, tcpPort: number) {
  const times: number[] = [];
  const songs: CanaryFigures[] = [];
  let size = 0;
  for (let run = 0; run < Number(options.runs); run++) {
    const song = await sing(tcpPort, async () => {
      if (path === "") return;
      const { ms, bytes } = await request(base + path, authorization);
      times.push(ms);
      size = bytes;
    });
    songs.push(song);
  }
  const [median = Number.NaN] = times.toSorted((a, b) => a - b).slice(Math.floor(times.length / 2));
  const worst = Math.min(...songs.map(({ worstMs }) => worstMs));
  const lag = Math.min(...songs.map(({ ownLagMs }) => ownLagMs));
  const name = path === "" ? "nothing" : path;
  const kept = `${worst.toFixed(1)} ms ${worst <= TARGET_MS ? "✓" : "✗"}`;
  const time = path === "" ? "–" : `${median.toFixed(1)} ms`;
  return `| \`${name}\` | ${time} | ${Math.round(size / 1024)} KiB | ${kept} | ${lag.toFixed(1)} ms |`;
}

execFileSync("npm", ["run", "--silent", "build"], { cwd: ROOT, stdio: "inherit" });
const dir = mkdtempSync(join(tmpdir(), "bench-api-"));
const [mqtt, http] = [await freePort(), await freePort()];
const gateway = startGateway(dir, mqtt, http);
const args = ["--port", String(mqtt), "--clients", options.clients, "--filters", options.filters];
let crowd: ChildProcess | null = null;
try {
  while (!(await answers(mqtt)) || !(await answers(http))) {
    if (gateway.exitCode !== null) throw new Error(`the gateway ended with ${gateway.exitCode}`);
    await delay(20);
  }
  crowd = fork(join(import.meta.dirname, "api-crowd.ts"), args, { execArgv: [] });
  await once(crowd, "message");
  const base = `http://127.0.0.1:${http}`;
  const login = await fetch(`${base}/api/v5/login`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ username: "admin", password: "bench-0" }),
  });
  const { token } = (await login.json()) as { token: string };
  const basic = `Basic ${btoa("admin:bench-0")}`;
  console.log(`${options.clients} clients with ${options.filters} filters each\n`);
  console.log("| request | time | answer | worst MQTT round trip | the canary's own lag |");
  console.log("| --- | ---: | ---: | ---: | ---: |");
  const only = new RegExp(options.only);
  for (const path of ROWS.filter((row) => only.test(row))) {
    const authorization = path.startsWith("/api/v4") ? basic : `Bearer ${token}`;
    console.log(await measure(path, base, authorization, mqtt));
  }
} finally {
  crowd?.disconnect();
  if (gateway.exitCode === null) {
    const gone = once(gateway, "exit");
    gateway.kill("SIGTERM");
    await gone;
  }
  rmSync(dir, { recursive: true, force: true });
}
