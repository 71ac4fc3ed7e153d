import { createLog } from "../log/index.ts";
import { ManualClock } from "../time/index.ts";
import { createHealth, notifyDescriptor } from "./index.ts";

/** A service's life in one go: ready, one good self-check, stopping; told to descriptor 3. */
const env = { LISTEN_PID: String(process.pid), LISTEN_FDS: "1", LISTEN_FDNAMES: "sdnotify" };
const clock = new ManualClock();
const health = createHealth({
  log: createLog({ level: "error" }),
  clock,
  notifyFd: notifyDescriptor(env, process.pid),
  watchdogUs: 30_000_000,
  selfCheck: () => Promise.resolve(),
});
health.ready("serving");
await health.start();
clock.advance(0);
await new Promise((resolve) => setImmediate(resolve));
health.stopping();
