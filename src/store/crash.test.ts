import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openedStore, temporaryFolder } from "./open-store.testing.ts";
import { COUNTER, Model, pictureOf, randomFrom } from "./workload.testing.ts";

/** Kills of one run; the long run sets more. */
const KILLS = Number(process.env["TIDEGATE_TEST_KILLS"] ?? 12);

const CHILD = join(import.meta.dirname, "crash-child.testing.ts");

/** Lets a child work on the folder and kills it `afterMs` after its first line; gives the last line. */
async function killedRun(path: string, seed: number, afterMs: number): Promise<number> {
  const child = spawn(process.execPath, [CHILD, path, String(seed)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let printed = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    printed += text;
  });
  await once(child.stdout, "data");
  setTimeout(() => child.kill("SIGKILL"), afterMs);
  await once(child, "close");
  const lines = printed.split("\n");
  return Number(lines.at(-2));
}

test("after kill -9 at any moment everything committed is there, and nothing half-done", async () => {
  const seed = 20_261_121;
  const path = join(temporaryFolder(), "db");
  const moments = randomFrom(seed);
  for (let kill = 0; kill < KILLS; kill++) {
    const afterMs = 5 + moments(300);
    const acknowledged = await killedRun(path, seed, afterMs);
    const store = await openedStore(path);
    const reached = (await store.getRetained(COUNTER))?.publishedMs ?? 0;
    expect(reached, `kill ${kill}`).toBeGreaterThanOrEqual(acknowledged);
    const random = randomFrom(seed);
    const model = new Model();
    for (let version = 1; version <= reached; version++) model.apply(model.next(random, version));
    const { sessions, retained, records } = await pictureOf(store);
    const own = retained.filter((line) => !line.includes(`"${COUNTER}"`));
    expect({ sessions, retained: own, records }, `kill ${kill}, after ${reached}`).toEqual(
      model.picture(),
    );
    expect(store.status().setAside).toBeNull();
    await store.stop();
  }
}, 300_000);
