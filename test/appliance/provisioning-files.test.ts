import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Config, configErrors, prepareProvisioning } from "../../src/config/index.ts";
import { GatewayError } from "../../src/errors/index.ts";
import { CONFIG_CHECKS } from "../../src/gateway.ts";
import { checkConfig, createReadPem } from "../../src/services/index.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { PROVISIONING_FILES, SERIAL_IN_FORCE } from "./provisioning-files.ts";

/** One turn of the event loop may take this long in the gateway; here nobody waits, but it ends. */
const LIMIT_MS = 10_000;

const quickHashing = {
  hashSecret: async (clear: string) => `hash:${clear.length}`,
  isHashed: (text: string) => text.startsWith("hash:"),
  verifySecret: async () => false,
};

function check(next: Config, previous: Config): Promise<void> {
  const { listeners, http } = next;
  const ports = [...Object.values(listeners).map(({ port }) => port), http.port];
  const held = new Set([...ports, http.emqx_port ?? 0]);
  return checkConfig(next, previous, {
    read: createReadPem(),
    held,
    parts: CONFIG_CHECKS,
    force: true,
  });
}

test.each(PROVISIONING_FILES)("$name: $verdict", async ({ content, verdict, says }) => {
  const folder = tempDir();
  const file = join(folder, "tidegate.yaml");
  const configFile = join(folder, "in-force.yaml");
  writeFileSync(file, content);
  writeFileSync(configFile, `provisioning: {serial: ${SERIAL_IN_FORCE}}\nmsq_len: 5\n`);
  const input = { configFile, dataDir: join(folder, "data"), env: {} };
  const start = performance.now();
  try {
    const { text } = await prepareProvisioning(file, input, { ...quickHashing, check });
    expect(["applied", "either"]).toContain(verdict);
    expect(text).not.toMatch(/(?:panel|press|oven)-secret/);
    // What is installed is accepted again.
    writeFileSync(file, text);
    await prepareProvisioning(file, input, { ...quickHashing, check });
  } catch (err) {
    if (!(err instanceof GatewayError)) throw err;
    expect(["refused", "either"]).toContain(verdict);
    const messages = configErrors(err).map(({ message }) => message);
    expect(messages.join("\n")).toContain(says ?? "");
    expect(messages.join("\n")).not.toMatch(/-secret/);
  }
  expect(performance.now() - start).toBeLessThan(LIMIT_MS);
});
