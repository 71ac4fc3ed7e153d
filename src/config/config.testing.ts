import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { GatewayError } from "../errors/index.ts";
import { createLog } from "../log/index.ts";
import { type ConfigPaths, configPaths } from "./config-files.ts";
import type { ConfigStoreDeps } from "./config-store.ts";
import type { ConfigInput } from "./load.ts";

/** A directory for one test, removed afterwards. */
export function testDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "tidegate-config-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A gateway's files: an operator's file with `operatorText`, and an empty data directory. */
export function testGateway(operatorText = ""): {
  input: ConfigInput & { configFile: string };
  paths: ConfigPaths;
  aside(): string[];
} {
  const directory = testDirectory();
  const configFile = join(directory, "tidegate.yaml");
  writeFileSync(configFile, operatorText);
  const dataDir = join(directory, "data");
  const paths = configPaths(dataDir);
  return {
    input: { configFile, dataDir, env: {} },
    paths,
    aside: () => readdirSync(paths.directory).filter((name) => /^(?:damaged|rejected)-/.test(name)),
  };
}

/** Hashing that takes no time: `hash:` and the clear text. */
export const quickHashing = {
  hashSecret: async (clear: string) => `hash:${clear}`,
  isHashed: (text: string) => text.startsWith("hash:"),
  verifySecret: async (clear: string, stored: string) => stored === `hash:${clear}`,
};

export const storeDeps: ConfigStoreDeps = {
  log: createLog({ level: "fatal" }),
  ...quickHashing,
};

/** For changes that need no cross-checks. */
export const noCheck = async (): Promise<void> => {};

/** The message of the GatewayError that `action` throws or rejects with. */
export async function messageOf(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (err) {
    if (err instanceof GatewayError) return `${err.code} ${err.message}`;
    throw err;
  }
  throw new Error("expected a GatewayError, but nothing was thrown");
}

/** Writes a file below directories that need not exist. */
export async function put(path: string, content: string | Buffer): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

export function textOf(path: string): string {
  return readFileSync(path, "utf8");
}
