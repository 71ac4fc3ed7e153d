import { execFile } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { startGateway } from "../helpers/gateway-process.ts";

const run = promisify(execFile);
const FOLDER = join(import.meta.dirname, "../api-client");
const GENERATED = join(FOLDER, "generated");

beforeAll(async () => {
  if (existsSync(join(FOLDER, "node_modules/.package-lock.json"))) return;
  await run("npm", ["ci", "--no-audit", "--no-fund"], { cwd: FOLDER });
}, 120_000);

test("a client generated from the document compiles, and walks through the API", async () => {
  const { ports } = await startGateway();
  const base = `http://127.0.0.1:${ports.http}`;
  onTestFinished(() => rmSync(GENERATED, { recursive: true, force: true }));
  mkdirSync(GENERATED, { recursive: true });
  const document = await fetch(`${base}/api-docs/swagger.json`);
  writeFileSync(join(GENERATED, "swagger.json"), await document.text());

  const bin = (name: string) => join(FOLDER, "node_modules/.bin", name);
  const options = { cwd: FOLDER };
  const files = ["generated/swagger.json", "-o", "generated/schema.d.ts"];
  await run(bin("openapi-typescript"), files, options);
  await run(bin("tsc"), ["-p", "."], options).catch((err: { stdout?: string }) => {
    expect.fail(`the client does not compile:\n${err.stdout}`);
  });
  const { stdout } = await run(process.execPath, ["tour.ts", base], options);
  const { done } = JSON.parse(stdout) as { done: string[] };
  expect(done).toEqual(expect.arrayContaining(["make a key", "list nodes by key", "log out"]));
}, 120_000);
