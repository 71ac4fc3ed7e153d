import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { freeTcpPort } from "../helpers/free-tcp-port.ts";
import { startGateway, TEST_CONFIG } from "../helpers/gateway-process.ts";
import { startMosquitto } from "../helpers/mosquitto.ts";

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, "../..");

/** The commands of the README's blocks that are marked as the quick start, in order. */
function quickStart(): string[] {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const blocks = [...readme.matchAll(/<!-- quick start.*-->\n```sh\n([\s\S]*?)```/g)];
  return blocks
    .flatMap(([, block = ""]) => block.split("\n"))
    .filter((line) => line !== "" && !line.startsWith("#"));
}

/** The text of every example of NanoMQ's specification as a curl command, from its answer format. */
function jsonOf(output: string): Record<string, unknown> {
  return JSON.parse(output) as Record<string, unknown>;
}

describe("the README's quick start", () => {
  it("works as printed, bridge included", async () => {
    const cloudPort = await freeTcpPort();
    const ports = { tcp: await freeTcpPort(), http: await freeTcpPort() };
    const config = TEST_CONFIG.replace(
      "tcp: {bind: 127.0.0.1, port: 0}",
      `tcp: {port: ${ports.tcp}}`,
    ).replace("http: {bind: 127.0.0.1, port: 0,", `http: {port: ${ports.http},`);
    await startGateway({ supervised: true, config });

    const outputs: string[] = [];
    for (const printed of quickStart()) {
      const command = printed
        .replaceAll(/\b1883\b/g, String(ports.tcp))
        .replaceAll(/\b8081\b/g, String(ports.http))
        .replaceAll(/\b1884\b/g, String(cloudPort));
      if (command.startsWith("mosquitto -p")) {
        // As a child of the test instead of a daemon, so that it ends with the test.
        await startMosquitto({ tcpPort: cloudPort });
        continue;
      }
      const { stdout } = await run("bash", ["-euo", "pipefail", "-c", command]);
      outputs.push(stdout);
    }

    const [publish, retained, statistics, subscriptions, clients, cmd, get, set, status, cloud] =
      outputs;
    expect(outputs).toHaveLength(10);
    expect(publish).toBe("");
    expect(retained).toBe("plant/line1/temp 21.5\n");
    expect(jsonOf(statistics ?? "")).toMatchObject({
      code: 0,
      seq: 1,
      rep: 2,
      data: { message_in: 1, message_out: 1, device: { memory_total_bytes: expect.any(Number) } },
    });
    expect(jsonOf(subscriptions ?? "")).toEqual({ code: 0, seq: 2, rep: 4, data: [] });
    expect(jsonOf(clients ?? "")).toEqual({ code: 0, seq: 3, rep: 5, data: [] });
    expect(jsonOf(cmd ?? "")).toMatchObject({ code: 0, seq: 4, rep: 20 });
    expect(jsonOf(get ?? "")).toMatchObject({ data: { bridge: { bridge_mode: false } } });
    expect(jsonOf(set ?? "")).toEqual({ code: 0, seq: 6, rep: 12 });
    expect(jsonOf(status ?? "")).toMatchObject({ status: "running" });
    // What was retained before the bridge existed stays here; the new value goes up.
    expect(cloud).toBe("plant/line1/temp 22.5\n");
  }, 60_000);
});
