import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  watch,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const PROJECT = fileURLToPath(new URL("..", import.meta.url));
const STAMP = "node_modules/.installed-package-lock.json";

/** Stands in for Node: notes how it was started, and ends as the next word of `plan` says. */
const STAND_IN_NODE = `#!/bin/bash
if [[ $1 == --version ]]; then echo v1.2.3; exit; fi
cd "\${BASH_SOURCE[0]%/*}/../.."
read -r code <plan
sed -i 1d plan
if [[ $code != serve ]]; then echo "$OLDPWD: $*" >>journal; exit "$code"; fi
for signal in TERM INT; do trap "echo $signal >>journal; exit 0" "$signal"; done
trap "echo HUP >>journal; exit 75" HUP
echo "$$" >>journal
while :; do sleep 0.02; done
`;

/** Stands in for npm: makes what it would, unless `npm-fails` is there. */
const STAND_IN_NPM = `#!/bin/bash
echo "npm $1" >>journal
rm -rf node_modules
mkdir -p node_modules/.bin
sleep 0.1
if [[ -e npm-fails ]]; then exit 1; fi
install -m 755 stand-in-node node_modules/.bin/node
`;

let clone = "";
let children: ChildProcess[] = [];

beforeEach(() => {
  clone = mkdtempSync(path.join(os.tmpdir(), "tidegate-scripts-"));
  children = [];
  for (const directory of ["scripts", "node_modules/.bin", "elsewhere", "programs"]) {
    mkdirSync(path.join(clone, directory), { recursive: true });
  }
  for (const script of ["scripts/run", "scripts/setup"]) {
    copyFileSync(path.join(PROJECT, script), path.join(clone, script));
  }
  const programs = { "node_modules/.bin/node": STAND_IN_NODE, "stand-in-node": STAND_IN_NODE };
  for (const [file, text] of Object.entries({ ...programs, "programs/npm": STAND_IN_NPM })) {
    writeFileSync(path.join(clone, file), text, { mode: 0o755 });
  }
  for (const file of ["package-lock.json", STAMP]) writeFileSync(path.join(clone, file), "{}\n");
  writeFileSync(path.join(clone, ".node-version"), "1.2.3\n");
  writeFileSync(path.join(clone, "journal"), "");
});

afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(clone, { recursive: true, maxRetries: 10 });
});

function plan(...words: readonly (number | "serve")[]): void {
  writeFileSync(path.join(clone, "plan"), `${words.join("\n")}\n`);
}

/** Lines the stand-ins wrote. */
function journal(): readonly string[] {
  return readFileSync(path.join(clone, "journal"), "utf8").split("\n").slice(0, -1);
}

/** Resolves when the journal has `count` lines. */
async function journalled(count: number): Promise<readonly string[]> {
  const watcher = watch(path.join(clone, "journal"));
  while (journal().length < count) {
    await Promise.race([
      once(watcher, "change"),
      new Promise((resolve) => setTimeout(resolve, 50)),
    ]);
  }
  watcher.close();
  return journal();
}

function start(script: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(path.join(clone, "scripts", script), args, {
    cwd: path.join(clone, "elsewhere"),
    env: { ...process.env, PATH: `${clone}/programs:${process.env["PATH"]}`, ...env },
  });
  children.push(child);
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const ended = new Promise<{ code: number | null; errors: string }>((resolve) => {
    child.once("close", (code) => resolve({ code, errors }));
  });
  return { child, ended };
}

describe("scripts/run", () => {
  it("starts the gateway for a workstation, and says what that means", async () => {
    plan(0);
    const { code, errors } = await start("run").ended;
    expect(code).toBe(0);
    expect(journal()).toEqual([
      `${clone}/elsewhere: --max-semi-space-size=8 ${clone}/src/main.ts run --config ${clone}/etc/workstation.yaml --data ${clone}/var`,
    ]);
    expect(errors).toContain("admin/public");
  });

  it("takes the caller's files, as they are seen from where he is", async () => {
    plan(0);
    const args = ["--config=mine.yaml", "--data", "../d", "--log.level=debug"];
    const { errors } = await start("run", args).ended;
    expect(journal()).toEqual([
      `${clone}/elsewhere: --max-semi-space-size=8 ${clone}/src/main.ts run --config=mine.yaml --data ../d --log.level=debug`,
    ]);
    expect(errors).toBe("");
  });

  it("takes the caller's environment for his choice, too", async () => {
    plan(0);
    await start("run", [], { TIDEGATE_CONFIG: "/c", TIDEGATE_DATA: "/d" }).ended;
    expect(journal()).toEqual([
      `${clone}/elsewhere: --max-semi-space-size=8 ${clone}/src/main.ts run`,
    ]);
  });

  it("starts again at once after 75, and ends with 78 where a restart would not help", async () => {
    plan(75, 75, 78);
    const { code, errors } = await start("run").ended;
    expect(code).toBe(78);
    expect(journal()).toHaveLength(3);
    expect(errors).not.toContain("again");
  });

  it("starts again after a while when the gateway failed", async () => {
    plan(70, 0);
    const { code, errors } = await start("run").ended;
    expect(code).toBe(0);
    expect(journal()).toHaveLength(2);
    expect(errors).toContain("ended with code 70, starting again in 1 s");
  });

  it("passes SIGTERM and SIGINT on and ends with the gateway's code", async () => {
    for (const signal of ["TERM", "INT"] as const) {
      writeFileSync(path.join(clone, "journal"), "");
      plan("serve");
      const { child, ended } = start("run");
      await journalled(1);
      child.kill(`SIG${signal}`);
      expect((await ended).code).toBe(0);
      expect(journal()[1]).toBe(signal);
    }
  });

  it("passes SIGHUP on, which is no reason to end", async () => {
    plan("serve", "serve");
    const { child, ended } = start("run");
    await journalled(1);
    child.kill("SIGHUP");
    expect((await journalled(3))[1]).toBe("HUP");
    child.kill("SIGTERM");
    expect((await ended).code).toBe(0);
  });

  it("stops at once while it waits to start again", async () => {
    plan(70, 0);
    const { child, ended } = start("run");
    await new Promise<void>((resolve) => {
      child.stderr.on("data", (text: string) => {
        if (text.includes("again")) resolve();
      });
    });
    child.kill("SIGTERM");
    expect((await ended).code).toBe(0);
    expect(journal()).toHaveLength(1);
  });

  it("leaves no gateway behind when it is killed itself", async () => {
    plan("serve");
    const { child } = start("run");
    await journalled(1);
    child.kill("SIGKILL");
    expect((await journalled(2))[1]).toBe("TERM");
  });

  it("ends with the code of a set-up that failed", async () => {
    writeFileSync(path.join(clone, "package-lock.json"), "{ }\n");
    writeFileSync(path.join(clone, "npm-fails"), "");
    plan(0);
    expect((await start("run").ended).code).toBe(1);
    expect(journal()).toEqual(["npm ci"]);
  });
});

describe("scripts/setup", () => {
  it("does nothing when the packages are those of package-lock.json", async () => {
    expect(await start("setup").ended).toEqual({ code: 0, errors: "" });
    expect(journal()).toEqual([]);
  });

  it("installs when package-lock.json has changed, once", async () => {
    writeFileSync(path.join(clone, "package-lock.json"), "{ }\n");
    expect((await start("setup").ended).code).toBe(0);
    expect((await start("setup").ended).code).toBe(0);
    expect(journal()).toEqual(["npm ci"]);
  });

  it("repeats an installation that failed or was broken off", async () => {
    writeFileSync(path.join(clone, "package-lock.json"), "{ }\n");
    writeFileSync(path.join(clone, "npm-fails"), "");
    expect((await start("setup").ended).code).not.toBe(0);
    const { child, ended } = start("setup");
    await journalled(2);
    child.kill("SIGKILL");
    await ended;
    expect(existsSync(path.join(clone, STAMP))).toBe(false);
    rmSync(path.join(clone, "npm-fails"));
    expect((await start("setup").ended).code).toBe(0);
    expect(readFileSync(path.join(clone, STAMP), "utf8")).toBe("{ }\n");
    expect(journal()).toHaveLength(3);
  });

  it("installs once when it is asked several times at once", async () => {
    rmSync(path.join(clone, "node_modules"), { recursive: true });
    const codes = await Promise.all([1, 2, 3].map(async () => (await start("setup").ended).code));
    expect(codes).toEqual([0, 0, 0]);
    expect(journal()).toEqual(["npm ci"]);
  });

  it("says so when the pinned Node was not installed", async () => {
    rmSync(path.join(clone, "node_modules"), { recursive: true });
    writeFileSync(path.join(clone, ".node-version"), "9.9.9\n");
    const { code, errors } = await start("setup").ended;
    expect(code).toBe(1);
    expect(errors).toContain("node_modules/.bin/node is v1.2.3, expected v9.9.9");
  });
});

describe("scripts/tally.ts", () => {
  function tally(report: string): { code: number; line: string } {
    const file = path.join(clone, "report.json");
    writeFileSync(file, report);
    try {
      const script = path.join(PROJECT, "scripts/tally.ts");
      return {
        code: 0,
        line: execFileSync(process.execPath, [script, file], { encoding: "utf8" }),
      };
    } catch (err) {
      return { code: 1, line: err instanceof Error && "stdout" in err ? String(err.stdout) : "" };
    }
  }

  it("counts tests, and a file that could not be loaded as one that failed", () => {
    const good = JSON.stringify({ numPassedTests: 3, numFailedTests: 0, testResults: [] });
    expect(tally(good)).toEqual({ code: 0, line: "3 passed, 0 failed\n" });
    const testResults = [{ status: "failed", assertionResults: [] }];
    const bad = JSON.stringify({ numPassedTests: 3, numFailedTests: 1, testResults });
    expect(tally(bad)).toEqual({ code: 1, line: "3 passed, 2 failed\n" });
  });

  it("fails when no test ran or there is no report", () => {
    const none = { code: 1, line: "0 passed, 0 failed\n" };
    expect(tally(JSON.stringify({ numPassedTests: 0, numFailedTests: 0 }))).toEqual(none);
    expect(tally("")).toEqual(none);
  });
});

/** Files below a folder of the project whose first line names a shell. */
function shellScripts(folder: string): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(path.join(PROJECT, folder), { withFileTypes: true })) {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory() && !/^(\.|node_modules|build|dist|var|src)/.test(entry.name)) {
      found.push(...shellScripts(file));
    } else if (entry.isFile() && isShellScript(path.join(PROJECT, file))) {
      found.push(file);
    }
  }
  return found;
}

function isShellScript(file: string): boolean {
  const start = Buffer.alloc(32);
  const descriptor = openSync(file, "r");
  readSync(descriptor, start);
  closeSync(descriptor);
  return /^#! ?(\/usr\/bin\/env |\/bin\/|\/usr\/bin\/)(ba|da)?sh\b/.test(start.toString("latin1"));
}

it("every shell script is clean by shellcheck", () => {
  const scripts = [...shellScripts("."), ".ci/run"];
  expect(scripts).toContain("scripts/run");
  expect(() =>
    execFileSync("shellcheck", ["--external-sources", ...scripts], { cwd: PROJECT }),
  ).not.toThrow();
});
