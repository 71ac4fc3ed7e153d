import { expect, test } from "vitest";
import { type Change, GroupWriter } from "./group-writer.ts";

function setUp() {
  const groups: { changes: readonly Change[]; isDurable: boolean; end: (err?: Error) => void }[] =
    [];
  const writer = new GroupWriter((changes, isDurable) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    groups.push({ changes, isDurable, end: (err) => (err ? reject(err) : resolve()) });
    return promise;
  });
  return { groups, writer };
}

const value = Buffer.from("x");

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
}

test("one group is written at a time, and what arrives meanwhile forms the next", async () => {
  const { groups, writer } = setUp();
  const first = writer.commit([["a", value]], { isDurable: false });
  await turn();
  const second = writer.commit([["b", value]], { isDurable: false });
  const third = writer.commit([["c", value]], { isDurable: true });
  await turn();
  expect(groups.map(({ changes }) => changes)).toEqual([[["a", value]]]);
  groups[0]?.end();
  await first;
  await turn();
  expect(groups[1]).toMatchObject({
    changes: [
      ["b", value],
      ["c", value],
    ],
    isDurable: true,
  });
  groups[1]?.end();
  await Promise.all([second, third, writer.flush()]);
  expect(groups).toHaveLength(2);
});

test("a value deleted before its group was written is never written", async () => {
  const { groups, writer } = setUp();
  const put = writer.commit([["a", value]], { isDurable: false });
  const del = writer.commit([["a", null]], { isDurable: false });
  await turn();
  expect(groups[0]?.changes).toEqual([["a", null]]);
  groups[0]?.end();
  await Promise.all([put, del]);
});

test("what waits or is being written is seen by readers, the newest first", async () => {
  const { groups, writer } = setUp();
  const first = writer.commit(
    [
      ["a", value],
      ["b", value],
    ],
    { isDurable: false },
  );
  await turn();
  const second = writer.commit([["a", null]], { isDurable: false });
  expect([writer.pending("a"), writer.pending("b"), writer.pending("c")]).toEqual([
    null,
    value,
    undefined,
  ]);
  expect(writer.pendingKeys("a", "z")).toEqual(["b"]);
  groups[0]?.end();
  await first;
  await turn();
  groups[1]?.end();
  await second;
});

test("a failed write is reported to its callers alone", async () => {
  const { groups, writer } = setUp();
  const first = writer.commit([["a", value]], { isDurable: true });
  await turn();
  const second = writer.commit([["b", value]], { isDurable: true });
  groups[0]?.end(new Error("no space left on device"));
  await expect(first).rejects.toThrow("no space left");
  await turn();
  groups[1]?.end();
  await second;
  await writer.flush();
});
