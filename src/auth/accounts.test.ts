import { beforeAll, describe, expect, test } from "vitest";
import { Accounts } from "./accounts.ts";
import { HashSlots } from "./hash-slots.ts";
import { hashPassword } from "./password.ts";

let hashed: string;
beforeAll(async () => {
  hashed = await hashPassword("right");
});

async function msOf(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const startMs = performance.now();
    await work();
    times.push(performance.now() - startMs);
  }
  return Math.min(...times);
}

describe("accounts", () => {
  test("hashed and clear passwords verify, unknown users do not", async () => {
    const accounts = new Accounts(
      [
        { username: "hashed", password: hashed },
        { username: "clear", password: "open" },
      ],
      new HashSlots(),
    );
    expect(await accounts.verify("hashed", Buffer.from("right"))).toBe("right");
    expect(await accounts.verify("clear", Buffer.from("open"))).toBe("right");
    expect(await accounts.verify("hashed", Buffer.from("open"))).toBe("wrong");
    expect(await accounts.verify("clear", Buffer.from("right"))).toBe("wrong");
    expect(await accounts.verify("nobody", Buffer.from("right"))).toBe("wrong");
  });

  test.each(["__proto__", "constructor", "toString", "hasOwnProperty"])(
    "%s is a name like any other",
    async (name) => {
      const without = new Accounts([{ username: "clear", password: "open" }], new HashSlots());
      expect(await without.verify(name, Buffer.from("open"))).toBe("wrong");
      const accounts = new Accounts([{ username: name, password: "open" }], new HashSlots());
      expect(await accounts.verify(name, Buffer.from("open"))).toBe("right");
    },
  );

  test("an unknown user costs the time of a wrong password, as does a clear password among hashes", async () => {
    const accounts = new Accounts(
      [
        { username: "clear", password: "open" },
        { username: "hashed", password: hashed },
      ],
      new HashSlots(),
    );
    const wrongMs = await msOf(() => accounts.verify("hashed", Buffer.from("no")));
    const unknownMs = await msOf(() => accounts.verify("nobody", Buffer.from("no")));
    const clearMs = await msOf(() => accounts.verify("clear", Buffer.from("no")));
    for (const ms of [unknownMs, clearMs]) {
      expect(ms).toBeGreaterThan(wrongMs / 3);
      expect(ms).toBeLessThan(wrongMs * 3);
    }
  });

  test("credentials that were right are remembered, wrong ones are not", async () => {
    const accounts = new Accounts([{ username: "hashed", password: hashed }], new HashSlots());
    const wrongMs = await msOf(() => accounts.verify("hashed", Buffer.from("no")));
    await accounts.verify("hashed", Buffer.from("right"));
    const startMs = performance.now();
    for (let i = 0; i < 100; i++) await accounts.verify("hashed", Buffer.from("right"));
    expect((performance.now() - startMs) / 100).toBeLessThan(wrongMs / 10);
    expect(await accounts.verify("hashed", Buffer.from("no"))).toBe("wrong");
  });

  test("name and password are kept apart in what is remembered", async () => {
    const accounts = new Accounts([{ username: "a", password: "bc" }], new HashSlots());
    expect(await accounts.verify("a", Buffer.from("bc"))).toBe("right");
    expect(await accounts.verify("ab", Buffer.from("c"))).toBe("wrong");
  });

  test("the same credentials at the same time are verified once", async () => {
    const accounts = new Accounts([{ username: "hashed", password: hashed }], new HashSlots());
    const oneMs = await msOf(() => accounts.verify("hashed", Buffer.from("no")));
    const startMs = performance.now();
    const verdicts = await Promise.all(
      Array.from({ length: 500 }, () => accounts.verify("hashed", Buffer.from("right"))),
    );
    expect(performance.now() - startMs).toBeLessThan(oneMs * 10);
    expect(new Set(verdicts)).toEqual(new Set(["right"]));
  });

  test("the waiting list is bounded; what does not fit is told so without work", async () => {
    const cheap = "scrypt$2$1$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA";
    const accounts = new Accounts([{ username: "user", password: cheap }], new HashSlots());
    const verdicts = await Promise.all(
      Array.from({ length: 1100 }, (_, i) => accounts.verify("user", Buffer.from(`guess ${i}`))),
    );
    expect(verdicts.filter((verdict) => verdict === "overloaded")).toHaveLength(98);
    expect(await accounts.verify("user", Buffer.from("after"))).toBe("wrong");
  });

  test("users given twice and passwords that nothing fits are named", async () => {
    const accounts = new Accounts(
      [
        { username: "twice", password: "first" },
        { username: "twice", password: "second" },
        { username: "empty", password: "" },
        { username: "damaged", password: hashed.slice(0, -30) },
      ],
      new HashSlots(),
    );
    expect(accounts.repeated).toEqual(["twice"]);
    expect(accounts.unusable).toEqual(["empty", "damaged"]);
    expect(await accounts.verify("twice", Buffer.from("first"))).toBe("right");
    expect(await accounts.verify("twice", Buffer.from("second"))).toBe("wrong");
  });
});
