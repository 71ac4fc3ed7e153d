import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { GENERATED } from "../../scripts/generate/generated.ts";
import { documentedKeys } from "../../scripts/generate/keys.ts";
import { operatorFile } from "../../scripts/generate/operator-file.ts";
import { withSection } from "../../scripts/generate/section.ts";
import { KEYS } from "./keys.ts";
import { layerFaults, mergeLayers, NO_LAYERS } from "./layers.ts";
import { checkFile } from "./load.ts";
import { SCHEMA } from "./schema.ts";
import { parseYaml } from "./yaml-text.ts";

const ROOT = join(import.meta.dirname, "../..");
const file = (path: string) => readFileSync(join(ROOT, path), "utf8");

test.each(GENERATED.map(({ file, render }) => [file, render] as const))(
  "%s is up to date (npm run generate)",
  (path, render) => {
    const present = file(path);
    expect(render(present)).toBe(present);
  },
);

test("etc/tidegate.yaml changes nothing, and gives every default once its comments are removed", () => {
  const text = operatorFile(SCHEMA);
  expect(parseYaml(Buffer.from(text), "")).toEqual({});
  const opened = text.replaceAll(/^#(?=\S| {2})/gm, "");
  const operator = parseYaml(Buffer.from(opened), "");
  expect(layerFaults(operator)).toEqual([]);
  expect(mergeLayers({ ...NO_LAYERS, operator })).toEqual(mergeLayers(NO_LAYERS));
  for (const { path } of KEYS) {
    expect(opened).toMatch(new RegExp(`^ *${path.at(-1)}: `, "m"));
  }
});

test("every key stands in the table, those inside lists and maps too", () => {
  const paths = documentedKeys(SCHEMA).map(({ path }) => path);
  expect(paths).toContain("listeners.tcp.port");
  expect(paths).toContain("auth.users[].password");
  expect(paths).toContain("bridges.<name>.tls.key_password");
  expect(new Set(paths).size).toBe(paths.length);
  for (const path of paths) expect(file("src/config/README.md")).toContain(`| \`${path}\` |`);
});

test("a generated part needs its markers", () => {
  expect(() => withSection("text", "x", "y")).toThrow('"x" are missing');
});

test("the shipped files are valid", () => {
  const appliance = "firmware-image/rootfs/usr/lib/tidegate/defaults.yaml";
  for (const path of ["etc/tidegate.yaml", "etc/workstation.yaml", appliance]) {
    expect(checkFile(join(ROOT, path))).toEqual([]);
  }
});
