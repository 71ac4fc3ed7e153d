import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createLog } from "../../log/index.ts";
import { ManualClock } from "../../time/index.ts";
import { configWith, MemoryConfigStore } from "../configuration/memory-config-store.testing.ts";
import { createApiKeys } from "./api-keys.ts";
import { parseBootstrap } from "./bootstrap.ts";

const SPECIFIED = `my-app:AAA4A275-BEEC-4AF8-B70B-DAAC0341F8EB
ec3907f865805db0:Ee3taYltUKtoBVD9C3XjQl9C6NXheip8Z9B69BpUv5JxVHL:viewer
foo:3CA92E5F-30AB-41F5-B3E6-8D7E213BE97E:publisher`;

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "tidegate-keys-"));
  path = join(directory, "default_api_key.conf");
});

afterEach(() => rm(directory, { recursive: true }));

function setUp() {
  const lines: string[] = [];
  const log = createLog({ level: "debug" }, { write: (line) => void lines.push(line) });
  const store = new MemoryConfigStore(configWith({ api_key: { bootstrap_file: path } }));
  const apiKeys = createApiKeys({
    log,
    clock: new ManualClock(1_700_000_000_000),
    verifyPassword: async (clear, stored) => clear === stored,
    configuration: {
      current: () => store.running,
      change: async (draft) => store.change((await draft(store.stored())).patch, async () => {}),
    },
  });
  return { apiKeys, store, lines };
}

test("the specification's file gives its three keys and roles", async () => {
  const { apiKeys } = setUp();
  await writeFile(path, SPECIFIED);
  await apiKeys.loadBootstrapFile();
  expect(apiKeys.list().map(({ apiKey, role }) => [apiKey, role])).toEqual([
    ["my-app", "administrator"],
    ["ec3907f865805db0", "viewer"],
    ["foo", "publisher"],
  ]);
  expect(apiKeys.find("foo")?.storedSecret).toBe("3CA92E5F-30AB-41F5-B3E6-8D7E213BE97E");
});

test("a key from the file has the name, description and dates of the reference", async () => {
  const { apiKeys } = setUp();
  await writeFile(path, "test-1:secret");
  await apiKeys.loadBootstrapFile();
  expect(apiKeys.list()).toEqual([
    {
      name: "from_bootstrap_file_18926f94712af04e",
      apiKey: "test-1",
      role: "administrator",
      enable: true,
      desc: "Bootstrapped From File",
      createdAtMs: 1_700_000_000_000,
      expiredAtMs: null,
      isExpired: false,
    },
  ]);
});

test("loading it again writes nothing; a removed line keeps its key", async () => {
  const { apiKeys, store } = setUp();
  await writeFile(path, SPECIFIED);
  await apiKeys.loadBootstrapFile();
  await apiKeys.loadBootstrapFile();
  expect(store.writes).toBe(1);
  await writeFile(path, "foo:3CA92E5F-30AB-41F5-B3E6-8D7E213BE97E:publisher");
  await apiKeys.loadBootstrapFile();
  expect([store.writes, apiKeys.list().length]).toEqual([1, 3]);
});

test("a stored key, also one the API made, gets the secret and role of its line and keeps the rest", async () => {
  const { apiKeys } = setUp();
  const made = await apiKeys.create("mine", { desc: "by API", enable: false });
  await writeFile(path, `${made.apiKey}:new-secret:viewer`);
  await apiKeys.loadBootstrapFile();
  expect(apiKeys.list()).toHaveLength(1);
  expect(apiKeys.find(made.apiKey)).toMatchObject({
    name: "mine",
    desc: "by API",
    enable: false,
    role: "viewer",
    storedSecret: "new-secret",
  });
});

test("an invalid line ends the loading with an error in the log; earlier lines stay", async () => {
  const { apiKeys, lines } = setUp();
  await writeFile(path, "a:1\n\nb:2:root\nc:3\n");
  await apiKeys.loadBootstrapFile();
  expect(apiKeys.list().map(({ apiKey }) => apiKey)).toEqual(["a"]);
  expect(lines.find((line) => line.includes('"line":3'))).toContain('"level":"error"');
});

test("a file that is missing or cannot be read is logged, and the start goes on", async () => {
  const { apiKeys, lines } = setUp();
  await apiKeys.loadBootstrapFile();
  expect(lines.join()).toContain("API key file cannot be loaded");
  path = directory;
  const other = setUp();
  await other.apiKeys.loadBootstrapFile();
  expect(other.lines.join()).toContain("API key file cannot be loaded");
});

test.each([
  ["  a:1  \r\n\r\n  b:2:viewer\t\n", ["a 1 administrator", "b 2 viewer"], null],
  ["a:1\na:2:viewer\n", ["a 2 viewer"], null],
  ["# no comments:1", ["# no comments 1 administrator"], null],
  ["a", [], 1],
  ["a:", [], 1],
  [":1", [], 1],
  ["a:1:", [], 1],
  ["a:1:Viewer", [], 1],
  ["a:1:viewer:scope", [], 1],
  ["", [], null],
])("the text %j", (text, keys, line) => {
  const parsed = parseBootstrap(text);
  const found = [...parsed.keys.values()].map((key) => `${key.apiKey} ${key.secret} ${key.role}`);
  expect([found, parsed.fault?.line ?? null]).toEqual([keys, line]);
});
