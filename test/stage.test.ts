import { execFileSync } from "node:child_process";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";

const PROJECT = fileURLToPath(new URL("..", import.meta.url));
/** ELF's numbers for processors (e_machine). */
const MACHINE = { arm64: 183, x64: 62 } as const;
/** Another than the project's. */
const VERSION = "9.8.7-rc.1";
/** Nothing is kept on a fresh clone: packages come from the registry first. */
const TIMEOUT_MS = 180_000;

let directory = "";

beforeAll(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), "tidegate-stage-"));
  stage("arm64");
  stage("x64", VERSION);
}, TIMEOUT_MS);

afterAll(() => {
  rmSync(directory, { recursive: true });
});

type Arch = keyof typeof MACHINE;

const placeOf = (arch: Arch) => path.join(directory, arch, "usr/lib/tidegate");

function stage(arch: Arch, ...version: readonly string[]): void {
  const target = path.join(directory, arch);
  execFileSync("scripts/stage", [arch, target, ...version], { cwd: PROJECT, stdio: "pipe" });
}

/** What a package.json says its version is. */
const versionIn = (folder: string): unknown =>
  JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8")).version;

/** The processors that native code below a folder is for, by file. */
function machines(folder: string): Map<string, number> {
  const found = new Map<string, number>();
  const header = Buffer.alloc(20);
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const file = path.join(folder, name);
    if (!statSync(file).isFile()) continue;
    const descriptor = openSync(file, "r");
    const size = readSync(descriptor, header, 0, header.length, 0);
    closeSync(descriptor);
    if (size === header.length && header.readUInt32BE(0) === 0x7f454c46) {
      found.set(name, header.readUInt16LE(18));
    }
  }
  return found;
}

it.each(["arm64", "x64"] as const)(
  "everything native that is staged for %s is for it, and only for glibc",
  (arch) => {
    const found = machines(placeOf(arch));
    expect(new Set(found.values())).toEqual(new Set([MACHINE[arch]]));
    const natives = [...found.keys()].filter((name) => name.endsWith(".node"));
    expect(natives.map((name) => name.split("/prebuilds/")[0]).sort()).toEqual([
      "node_modules/@serialport/bindings-cpp",
      "node_modules/bcrypt",
      "node_modules/classic-level",
    ]);
    expect([...found.keys()]).toContain("bin/node");
  },
);

it("the gateway staged for this machine starts with the pinned Node, and says the version it was given", () => {
  const place = placeOf("x64");
  const node = path.join(place, "bin/node");
  const run = (...args: string[]) => execFileSync(node, args, { encoding: "utf8", cwd: "/" });
  expect(run("--version")).toBe(`v${readFileSync(path.join(PROJECT, ".node-version"), "utf8")}`);
  expect(run(path.join(place, "dist/main.js"), "--version").trim()).toBe(VERSION);
  expect(versionIn(placeOf("arm64"))).toBe(versionIn(PROJECT));
  const operator = path.join(directory, "tidegate.yaml");
  writeFileSync(operator, "listeners: { tcp: { port: 1884 } }\n");
  expect(() => run(path.join(place, "dist/main.js"), "check", operator)).not.toThrow();
});

it("what is staged again replaces what was there, and leaves other files alone", () => {
  const place = placeOf("x64");
  writeFileSync(path.join(place, "first-boot"), "");
  writeFileSync(path.join(place, "dist/gone.js"), "");
  stage("x64");
  expect(readdirSync(place)).toContain("first-boot");
  expect(readdirSync(path.join(place, "dist"))).not.toContain("gone.js");
});

it("a version that is none is refused, and nothing is staged", () => {
  const target = path.join(directory, "refused");
  expect(() =>
    execFileSync("scripts/stage", ["x64", target, '1.0.0", "main": "x'], {
      cwd: PROJECT,
      stdio: "pipe",
    }),
  ).toThrow(/is no version/);
  expect(readdirSync(directory)).not.toContain("refused");
});
