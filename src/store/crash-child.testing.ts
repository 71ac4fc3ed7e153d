import { writeSync } from "node:fs";
import { createLog } from "../log/index.ts";
import { systemClock } from "../time/index.ts";
import { createStore } from "./store.ts";
import { applyTo, COUNTER, Model, messageFor, randomFrom } from "./workload.testing.ts";

/**
 * Works on a store without end, until it is killed: `node crash-child.testing.ts <folder> <seed>`.
 * After each commit it prints the number of the newest operation in it. The same seed gives the same
 * operations, and the number of the newest one is stored with it: a new run goes on behind it.
 */
const [, , path = "", seed = "0"] = process.argv;
// The store's timers alone do not keep a process alive.
setInterval(() => {}, 1000);
const store = createStore({ log: createLog({ level: "fatal" }), clock: systemClock }, { path });
await store.start();

const random = randomFrom(Number(seed));
const model = new Model();
let version = 0;
const done = (await store.getRetained(COUNTER))?.publishedMs ?? 0;
while (version < done) model.apply(model.next(random, ++version));
writeSync(1, `${done}\n`);

const pace = randomFrom(Number(seed) + done);
for (;;) {
  for (let i = pace(20); i >= 0; i--) {
    const operation = model.next(random, ++version);
    applyTo(store, model, operation);
    model.apply(operation);
  }
  store.putRetained(messageFor(version, 0, COUNTER));
  const newest = version;
  const committed = store.committed(pace(3) > 0).then(() => writeSync(1, `${newest}\n`));
  if (pace(2) === 0) await committed;
  else await new Promise((resolve) => setImmediate(resolve));
}
