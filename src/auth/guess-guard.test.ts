import { describe, expect, test } from "vitest";
import { ManualClock } from "../time/index.ts";
import { type Attempt, GuessGuard } from "./guess-guard.ts";

/** Lets everything run that waits for no timer. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

function setUp() {
  const clock = new ManualClock();
  const guard = new GuessGuard(clock);

  /** Enters and says what became of it: "waiting" until its turn has come. */
  function enter(address: string, username: string) {
    let state: "waiting" | "refused" | Attempt = "waiting";
    const entered = guard.enter(address, username).then((attempt) => {
      state = attempt ?? "refused";
    });
    return {
      entered,
      get isWaiting() {
        return state === "waiting";
      },
      get isRefused() {
        return state === "refused";
      },
      done(outcome: "right" | "wrong") {
        if (typeof state === "string") throw new Error(`the attempt is ${state}`);
        state.done(outcome);
      },
    };
  }

  /** One attempt from start to end; how long it waited. */
  async function attempt(address: string, username: string, outcome: "right" | "wrong") {
    const startMs = clock.monotonicMs();
    const entry = enter(address, username);
    await settle();
    while (entry.isWaiting) {
      clock.advance(250);
      await settle();
    }
    entry.done(outcome);
    await settle();
    return clock.monotonicMs() - startMs;
  }

  return { clock, guard, enter, attempt };
}

const HERE = "192.0.2.1";
const ELSEWHERE = "198.51.100.9";

describe("guesses from one address", () => {
  test("the first failures are free, then each waits longer, up to 10 s", async () => {
    const { attempt } = setUp();
    const waits: number[] = [];
    for (let i = 0; i < 13; i++) waits.push(await attempt(HERE, `user ${i}`, "wrong"));
    expect(waits).toEqual([0, 0, 0, 0, 0, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
  });

  test("loopback is slowed like any other address", async () => {
    const { attempt } = setUp();
    for (let i = 0; i < 6; i++) await attempt("127.0.0.1", `user ${i}`, "wrong");
    expect(await attempt("127.0.0.1", "next", "wrong")).toBe(1000);
  });

  test("guesses in parallel gain nothing", async () => {
    const { clock, enter } = setUp();
    const entries = Array.from({ length: 500 }, (_, i) => enter(HERE, `user ${i}`));
    let failed = 0;
    for (let second = 0; second < 60; second++) {
      for (const entry of entries.splice(0)) {
        if (entry.isRefused) continue;
        if (entry.isWaiting) entries.push(entry);
        else {
          entry.done("wrong");
          failed++;
        }
        await settle();
      }
      clock.advance(1000);
      await settle();
    }
    expect(failed).toBeLessThanOrEqual(16);
  });

  test("a right login does not make guessing cheap again", async () => {
    const { attempt } = setUp();
    for (let i = 0; i < 8; i++) await attempt(HERE, "victim", "wrong");
    await attempt(HERE, "guesser's own", "right");
    await attempt(HERE, "other victim", "wrong");
    expect(await attempt(HERE, "other victim", "wrong")).toBe(8000);
  });

  test("failures are forgotten after 15 quiet minutes", async () => {
    const { clock, attempt } = setUp();
    for (let i = 0; i < 9; i++) await attempt(HERE, "user", "wrong");
    clock.advance(15 * 60_000 + 1);
    expect(await attempt(HERE, "user", "wrong")).toBe(0);
  });
});

describe("others are not locked out", () => {
  test("by guesses from another address beyond a few seconds, for the very user attacked", async () => {
    const { clock, enter, attempt } = setUp();
    for (let i = 0; i < 50; i++) await attempt(`203.0.113.${i}`, "owner", "wrong");
    const login = enter(ELSEWHERE, "owner");
    await settle();
    expect(login.isWaiting).toBe(true);
    clock.advance(4000);
    await settle();
    login.done("right");
  });

  test("and not at all where the user has logged in before", async () => {
    const { attempt } = setUp();
    await attempt(ELSEWHERE, "owner", "right");
    for (let i = 0; i < 50; i++) await attempt(`203.0.113.${i}`, "owner", "wrong");
    expect(await attempt(ELSEWHERE, "owner", "right")).toBe(0);
  });

  test("users known at an address are not held up by guesses from the same address", async () => {
    const { enter, attempt } = setUp();
    await attempt("127.0.0.1", "device", "right");
    for (let i = 0; i < 12; i++) await attempt("127.0.0.1", "misconfigured", "wrong");
    const guess = enter("127.0.0.1", "misconfigured");
    expect(await attempt("127.0.0.1", "device", "right")).toBe(0);
    expect(guess.isWaiting).toBe(true);
  });

  test("a known user who is guessed at from its own address is slowed there as well", async () => {
    const { attempt } = setUp();
    await attempt(HERE, "device", "right");
    const waits: number[] = [];
    for (let i = 0; i < 7; i++) waits.push(await attempt(HERE, "device", "wrong"));
    expect(waits).toEqual([0, 0, 0, 0, 0, 500, 1000]);
    await attempt(HERE, "device", "right");
    expect(await attempt(HERE, "device", "right")).toBe(0);
  });

  test("a fleet behind one address comes back without delay", async () => {
    const { clock, enter } = setUp();
    const entries = Array.from({ length: 900 }, (_, i) => enter(HERE, `device ${i}`));
    let isMore = true;
    while (isMore) {
      await settle();
      isMore = false;
      for (const entry of entries.splice(0)) {
        if (entry.isWaiting) entries.push(entry);
        else {
          entry.done("right");
          isMore = true;
        }
      }
    }
    expect(entries).toEqual([]);
    expect(clock.monotonicMs()).toBe(0);
  });
});

describe("bounds", () => {
  test("an address that is slowed has few attempts waiting, the rest is refused at once", async () => {
    const { enter, attempt } = setUp();
    for (let i = 0; i < 8; i++) await attempt(HERE, "user", "wrong");
    const entries = Array.from({ length: 100 }, () => enter(HERE, `user`));
    await settle();
    // The user name's own delay has not begun, so all stand in the address's queue.
    expect(entries.filter((entry) => entry.isWaiting)).toHaveLength(32);
    expect(entries.filter((entry) => entry.isRefused)).toHaveLength(68);
  });

  test("tables forget the oldest entries instead of growing", async () => {
    const { guard } = setUp();
    for (let i = 0; i < 12_000; i++) {
      const right = await guard.enter(`10.0.${i >> 8}.${i & 255}`, `user ${i}`);
      right?.done("right");
      const wrong = await guard.enter(`10.1.${i >> 8}.${i & 255}`, `${"x".repeat(1000)}${i}`);
      wrong?.done("wrong");
    }
    expect(guard.remembered).toBe(10_000);
  });

  test("stopping refuses what waits, and everything after", async () => {
    const { guard, enter, attempt } = setUp();
    for (let i = 0; i < 12; i++) await attempt(HERE, "user", "wrong");
    const queued = enter(HERE, "other");
    const paused = enter(ELSEWHERE, "user");
    await settle();
    guard.stop();
    await Promise.all([queued.entered, paused.entered]);
    expect([queued.isRefused, paused.isRefused]).toEqual([true, true]);
    expect(await guard.enter(ELSEWHERE, "user")).toBeNull();
  });
});
