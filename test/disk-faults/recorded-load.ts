import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { startGateway, TEST_CONFIG } from "../helpers/gateway-process.ts";
import { v1 } from "../helpers/http.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { DiskShim } from "./disk-shim.ts";
import { FORWARDED, Ledger } from "./ledger.ts";
import { randomFrom } from "./random.ts";
import { type DiskOperation, readRecording } from "./recording.ts";
import { CLOUD } from "./store-content.ts";
import { Workers } from "./workload.ts";

/** What a gateway did to its disk, and what its clients were told meanwhile. */
export interface RecordedLoad {
  readonly ledger: Ledger;
  readonly operations: readonly DiskOperation[];
  /** The folder that was recorded; the data directory is `data` in it. */
  readonly root: string;
}

/** An fsync of a good card; without it a PUBACK that comes too early is hardly ever seen. */
const SYNC_DELAY_US = 2000;

/** The keys that every change of the configuration sets to the same number, and what they hold before. */
export const CONFIG_BEFORE = [2048, 32, 10];

/**
 * Runs a gateway from an empty folder through publishing at every QoS, sessions that come, go and
 * end, retained messages, and changes of the configuration with the restart each brings. `rounds`
 * sets its length: about 15 messages each. In the end LevelDB's log is filled until it begins another.
 */
export async function recordLoad(seed: number, rounds: number): Promise<RecordedLoad> {
  const random = randomFrom(seed);
  const scratch = tempDir();
  const root = join(scratch, "disk");
  mkdirSync(root);
  const recording = join(scratch, "recording");
  const shim = new DiskShim(root, recording);
  shim.control.syncDelayUs = SYNC_DELAY_US;
  const gateway = await startGateway({
    supervised: true,
    config: `${TEST_CONFIG}
bridges:
  ${CLOUD}: {server: "mqtt://127.0.0.1:1", forwards: [{local_topic: "${FORWARDED}"}]}
`,
    dataDir: join(root, "data"),
    env: shim.env,
  });
  const ledger = new Ledger();
  let ready: { readonly ports: typeof gateway.ports; readonly readyAt: number } = gateway;

  const changes = 2;
  for (let change = 0; change <= changes; change++) {
    const workers = new Workers(ledger, ready.ports.tcp, random);
    await workers.begin();
    for (let round = 0; round < rounds / (changes + 1); round++) await workers.round();
    if (change === changes) await workers.fillLog();
    await workers.leave();
    if (change === changes) break;
    const value = 3000 + change;
    const entry = { value, askedNs: process.hrtime.bigint(), confirmedNs: null as bigint | null };
    ledger.configs.push(entry);
    const data = { msq_len: value, property_size: value, qos_duration: value };
    const { body } = await v1(ready.ports.http, { req: 12, data });
    if (body.code !== 0) throw new Error(`the change was refused: ${JSON.stringify(body)}`);
    entry.confirmedNs = process.hrtime.bigint();
    ready = await gateway.readyAgain(ready.readyAt);
  }
  await gateway.child.kill();
  return { ledger, operations: readRecording(recording, root), root };
}
