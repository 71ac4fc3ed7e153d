/**
 * A gateway that lives through time quickly, as a process of its own.
 *
 * Usage: fast-gateway.ts CONFIG DATA FACTOR
 *
 * Its log goes to standard output, where the line "ready" says that it runs. It ends when standard
 * input does.
 */
import { loadConfig, openConfigStore } from "../../src/config/index.ts";
import { createGateway } from "../../src/gateway.ts";
import { createLog } from "../../src/log/index.ts";
import { fastClock } from "./fast-clock.ts";

const [configFile = "", dataDir = "", factor = "1"] = process.argv.slice(2);
const log = createLog({ level: "info" });
const configStore = openConfigStore(loadConfig({ configFile, dataDir, env: {} }), {
  log,
  hashSecret: async (clear) => clear,
  isHashed: () => true,
  verifySecret: async (clear, stored) => clear === stored,
});
const gateway = createGateway({
  log,
  clock: fastClock(Number(factor)),
  configStore,
  dataDir,
  deviceId: "00000000",
  version: "0.0.0",
  supervisor: { notifyFd: null, watchdogUs: null },
  requestExit: () => process.exit(1),
});
await gateway.start();
log.info({ pid: process.pid }, "ready");
await new Promise((resolve) => process.stdin.resume().once("end", resolve));
await gateway.stop();
process.exit(0);
