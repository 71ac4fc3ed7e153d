import { writeSync } from "node:fs";
import { createLog } from "../log/index.ts";
import { openConfigStore } from "./config-store.ts";
import { loadConfig } from "./load.ts";
import { beginStart } from "./start.ts";

/**
 * The process that `kill.test.ts` kills: starts as the service does, then changes its configuration
 * from one number to the next without end, and says so: `ready`, then each number once it is stored.
 */
const [configFile = "", dataDir = ""] = process.argv.slice(2);
const input = { configFile, dataDir, env: {} };

await beginStart(input);
const store = openConfigStore(loadConfig(input), {
  log: createLog({ level: "error" }),
  hashSecret: async (clear) => `hash:${clear}`,
  isHashed: (text) => text.startsWith("hash:"),
  verifySecret: async (clear, stored) => stored === `hash:${clear}`,
});
await store.confirm();
// Synchronous, so that what was said is in the pipe when the process is killed.
writeSync(1, "ready\n");
for (let n = store.running.msq_len + 1; ; n += 1) {
  const pem = `-----BEGIN CERTIFICATE-----\n${n}\n-----END CERTIFICATE-----\n`;
  const cert_file = await store.putPem("cert", pem);
  await store.change(
    {
      msq_len: n,
      http: { port: n },
      tls: { cert_file },
      bridges: { [`b${n % 5}`]: null, [`b${(n + 1) % 5}`]: { enable: false, keepalive_s: n } },
    },
    async () => {},
  );
  writeSync(1, `${n}\n`);
}
