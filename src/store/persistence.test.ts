import assert from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "vitest";
import { createLog } from "../log/index.ts";
import { systemClock } from "../time/index.ts";
import { createStore } from "./index.ts";

/** What aedes-persistence's abstract suite expects of node:test's context. */
interface SuiteContext {
  readonly assert: typeof assert;
  plan(count: number): void;
  diagnostic(text: string): void;
}

type AbstractSuite = (options: {
  test: (name: string, body: (t: SuiteContext) => Promise<void>) => void;
  testAsync: boolean;
  persistence: () => Promise<object>;
}) => void;

const abstractSuite: AbstractSuite = createRequire(import.meta.url)(
  "aedes-persistence/abstract.js",
);

describe("aedes-persistence's own abstract suite", () => {
  const log = createLog({ level: "fatal" });
  const context: SuiteContext = { assert, plan: () => undefined, diagnostic: () => undefined };

  abstractSuite({
    test: (name, body) => test(name, () => body(context)),
    testAsync: true,
    async persistence() {
      const dir = await mkdtemp(join(tmpdir(), "tidegate-persistence-"));
      const store = createStore({ log, clock: systemClock }, { path: join(dir, "store") });
      await store.start();
      // The suite ends each test by destroying its persistence.
      const { persistence } = store;
      Object.defineProperty(persistence, "destroy", {
        value: async () => {
          await store.stop();
          await rm(dir, { recursive: true });
        },
      });
      return persistence;
    },
  });
});
