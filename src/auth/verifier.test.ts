import { beforeAll, describe, expect, test } from "vitest";
import { Accounts } from "./accounts.ts";
import { HashSlots } from "./hash-slots.ts";
import { hashPassword } from "./password.ts";
import { type Account, Verifier } from "./verifier.ts";

let hashed: string;
beforeAll(async () => {
  hashed = await hashPassword("right");
});

/** Configured users and, as the second source, whatever `others` knows. */
function verifierOf(
  users: ConstructorParameters<typeof Accounts>[0],
  others = new Map<string, Account>(),
) {
  const accounts = new Accounts(users);
  const second = { find: (name: string) => others.get(name), pretend: () => null };
  const verifier = new Verifier([accounts, second], new HashSlots());
  const verify = async (name: string, password: Buffer, inSecond: string | null = null) =>
    (await verifier.verify({ names: [name, inSecond], password })).verdict;
  return { accounts, verifier, verify };
}

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
    const users = verifierOf([
      { username: "hashed", password: hashed },
      { username: "clear", password: "open" },
    ]);
    expect(await users.verify("hashed", Buffer.from("right"))).toBe("right");
    expect(await users.verify("clear", Buffer.from("open"))).toBe("right");
    expect(await users.verify("hashed", Buffer.from("open"))).toBe("wrong");
    expect(await users.verify("clear", Buffer.from("right"))).toBe("wrong");
    expect(await users.verify("nobody", Buffer.from("right"))).toBe("wrong");
  });

  test.each(["__proto__", "constructor", "toString", "hasOwnProperty"])(
    "%s is a name like any other",
    async (name) => {
      const without = verifierOf([{ username: "clear", password: "open" }]);
      expect(await without.verify(name, Buffer.from("open"))).toBe("wrong");
      const users = verifierOf([{ username: name, password: "open" }]);
      expect(await users.verify(name, Buffer.from("open"))).toBe("right");
    },
  );

  test("an unknown user costs the time of a wrong password, as does a clear password among hashes", async () => {
    const users = verifierOf([
      { username: "clear", password: "open" },
      { username: "hashed", password: hashed },
    ]);
    const wrongMs = await msOf(() => users.verify("hashed", Buffer.from("no")));
    const unknownMs = await msOf(() => users.verify("nobody", Buffer.from("no")));
    const clearMs = await msOf(() => users.verify("clear", Buffer.from("no")));
    for (const ms of [unknownMs, clearMs]) {
      expect(ms).toBeGreaterThan(wrongMs / 3);
      expect(ms).toBeLessThan(wrongMs * 3);
    }
  });

  test("credentials that were right are remembered, wrong ones are not", async () => {
    const users = verifierOf([{ username: "hashed", password: hashed }]);
    const wrongMs = await msOf(() => users.verify("hashed", Buffer.from("no")));
    await users.verify("hashed", Buffer.from("right"));
    const startMs = performance.now();
    for (let i = 0; i < 100; i++) await users.verify("hashed", Buffer.from("right"));
    expect((performance.now() - startMs) / 100).toBeLessThan(wrongMs / 10);
    expect(await users.verify("hashed", Buffer.from("no"))).toBe("wrong");
  });

  test("name and password are kept apart in what is remembered", async () => {
    const users = verifierOf([{ username: "a", password: "bc" }]);
    expect(await users.verify("a", Buffer.from("bc"))).toBe("right");
    expect(await users.verify("ab", Buffer.from("c"))).toBe("wrong");
  });

  test("the same credentials at the same time are verified once", async () => {
    const users = verifierOf([{ username: "hashed", password: hashed }]);
    const oneMs = await msOf(() => users.verify("hashed", Buffer.from("no")));
    const startMs = performance.now();
    const verdicts = await Promise.all(
      Array.from({ length: 500 }, () => users.verify("hashed", Buffer.from("right"))),
    );
    expect(performance.now() - startMs).toBeLessThan(oneMs * 10);
    expect(new Set(verdicts)).toEqual(new Set(["right"]));
  });

  test("the waiting list is bounded; what does not fit is told so without work", async () => {
    const cheap = "scrypt$2$1$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA";
    const users = verifierOf([{ username: "user", password: cheap }]);
    const verdicts = await Promise.all(
      Array.from({ length: 1100 }, (_, i) => users.verify("user", Buffer.from(`guess ${i}`))),
    );
    expect(verdicts.filter((verdict) => verdict === "overloaded")).toHaveLength(98);
    expect(await users.verify("user", Buffer.from("after"))).toBe("wrong");
  });

  test("users given twice and passwords that nothing fits are named", async () => {
    const users = verifierOf([
      { username: "twice", password: "first" },
      { username: "twice", password: "second" },
      { username: "empty", password: "" },
      { username: "damaged", password: hashed.slice(0, -30) },
    ]);
    expect(users.accounts.repeated).toEqual(["twice"]);
    expect(users.accounts.unusable).toEqual(["empty", "damaged"]);
    expect(await users.verify("twice", Buffer.from("first"))).toBe("right");
    expect(await users.verify("twice", Buffer.from("second"))).toBe("wrong");
  });

  test("the first source that knows the name decides", async () => {
    const second: Account = { isSlow: false, fits: async (given) => given.equals(SECOND) };
    const SECOND = Buffer.from("second");
    const others = new Map([
      ["both", second],
      ["late", second],
    ]);
    const { verifier } = verifierOf([{ username: "both", password: "first" }], others);
    const verify = (name: string, password: string) =>
      verifier.verify({ names: [name, name], password: Buffer.from(password) });
    expect(await verify("both", "first")).toEqual({ verdict: "right", source: 0 });
    expect(await verify("both", "second")).toEqual({ verdict: "wrong", source: 0 });
    expect(await verify("late", "second")).toEqual({ verdict: "right", source: 1 });
    expect(await verify("nobody", "second")).toEqual({ verdict: "wrong", source: null });
  });

  test("what was right is forgotten as soon as the account is another", async () => {
    const fits = (text: string): Account => ({
      isSlow: false,
      fits: async (given) => given.toString() === text,
    });
    const others = new Map([["u", fits("old")]]);
    const { verify } = verifierOf([], others);
    expect(await verify("x", Buffer.from("old"), "u")).toBe("right");
    others.set("u", fits("new"));
    expect(await verify("x", Buffer.from("old"), "u")).toBe("wrong");
    others.delete("u");
    expect(await verify("x", Buffer.from("new"), "u")).toBe("wrong");
  });

  test("an account deleted while its password is verified lets nobody in", async () => {
    const others = new Map<string, Account>();
    const slow: Account = {
      isSlow: true,
      fits: async () => {
        others.delete("u");
        return true;
      },
    };
    others.set("u", slow);
    expect(await verifierOf([], others).verify("x", Buffer.from("p"), "u")).toBe("wrong");
  });
});
