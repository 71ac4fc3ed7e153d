import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const PROJECT = fileURLToPath(new URL("..", import.meta.url));

/** What every part may import; of these, none imports a part. */
const FOUNDATION = ["config", "errors", "hocon", "log", "mqtt", "regex", "time"];

/** The one part that knows a package: one place to patch, one place that knows its quirks. */
const PACKAGES = {
  "@fastify/multipart": "api",
  "@fastify/swagger-ui": "api",
  aedes: "broker",
  "aedes-persistence-level": "store",
  bcrypt: "auth",
  "classic-level": "store",
  convict: "config",
  fastify: "api",
  fflate: "api",
  jose: "api",
  mqtt: "bridge",
  pino: "log",
  re2js: "regex",
  serialport: "serial",
  systeminformation: "telemetry",
  "tar-stream": "backup",
  ws: "listeners",
  yaml: "config",
} as const;

/**
 * Shipped although no part imports it: `level` is what the product is said to be built on, and in Node
 * the same class as classic-level, whose types have all that the store calls.
 */
const NOT_IMPORTED = ["level"];

interface Import {
  readonly file: string;
  readonly part: string;
  /** `import type`: gone before the program runs. */
  readonly isType: boolean;
  readonly from: string;
}

/** Every import of the parts below `src/`; not those of `main.ts` and its neighbours, which join them. */
const imports: readonly Import[] = globSync("src/*/**/*.ts", { cwd: PROJECT })
  .filter((file) => !/\.(test|testing)\.ts$/.test(file))
  .flatMap((file) => {
    const text = readFileSync(path.join(PROJECT, file), "utf8");
    const found = text.matchAll(
      /^(?:import|export) (type )?(?:[^;"]* from )?"([^"]+)"|\bimport(?:\.meta\.resolve)?\("([^"]+)"\)/gm,
    );
    return [...found].map(([, type, from, loaded]): Import => {
      const part = file.split("/")[1] ?? "";
      return { file, part, isType: type !== undefined, from: from ?? loaded ?? "" };
    });
  });

/** The part a relative import leads to. */
const targetOf = ({ file, from }: Import) =>
  path.join(path.dirname(file), from).split("/")[1] ?? "";

it("a part imports the foundation and itself; the dialects know the services, by their types", () => {
  const foreign = imports.filter((each) => {
    if (!each.from.startsWith(".")) return false;
    const target = targetOf(each);
    if (target === each.part || FOUNDATION.includes(target)) return false;
    return !(each.part === "api" && target === "services" && each.isType);
  });
  expect(imports.length).toBeGreaterThan(1000);
  expect(foreign).toEqual([]);
});

it("each package is imported by one part, and those that are shipped are imported, but for level", () => {
  const manifest: { readonly dependencies: Readonly<Record<string, string>> } = JSON.parse(
    readFileSync(path.join(PROJECT, "package.json"), "utf8"),
  );
  const found = new Map<string, Set<string>>();
  for (const { part, from, isType } of imports) {
    const name = /^(@[^/]+\/)?[^/.][^/]*/.exec(from)?.[0] ?? "";
    if (name === "" || name.startsWith("node:")) continue;
    // Types of a package that is not shipped cost nothing.
    if (isType && manifest.dependencies[name] === undefined) continue;
    found.set(name, (found.get(name) ?? new Set()).add(part));
  }
  const parts = Object.fromEntries([...found].map(([name, of]) => [name, [...of].join(", ")]));
  expect(parts).toEqual(PACKAGES);
  expect(Object.keys(manifest.dependencies).toSorted()).toEqual(
    [...Object.keys(parts), ...NOT_IMPORTED].toSorted(),
  );
});
