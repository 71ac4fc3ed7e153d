import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createLog } from "../log/index.ts";
import { createStore } from "../store/index.ts";
import { ManualClock, systemClock } from "../time/index.ts";
import { type BanKind, createBans } from "./index.ts";

const log = createLog({ level: "fatal" }, { write: () => undefined });

interface Client {
  readonly clientId: string;
  readonly username: string | null;
  readonly peerAddress: string;
  readonly isConnected: boolean;
}

async function openDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "tidegate-bans-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Bans on a store on the disk. */
async function open(dir: string, clock = new ManualClock(), clients: Client[] = []) {
  const store = createStore({ log, clock: systemClock }, { path: join(dir, "store") });
  await store.start();
  const cut: string[] = [];
  const bans = createBans({
    log,
    clock,
    table: store.table("bans"),
    clients: () => clients,
    disconnect: (clientId) => cut.push(clientId) > 0,
  });
  await bans.start();
  const close = async () => {
    await bans.stop();
    await store.stop();
  };
  onTestFinished(close);
  const ban = (as: BanKind, who: string, untilMs: number | null = null) =>
    bans.add({ as, who, by: "test", reason: "why", atMs: null, untilMs });
  const isBanned = (clientId: string, username: string | null = null, address = "10.0.0.1") =>
    bans.isBanned({ clientId, username, address });
  return { bans, ban, isBanned, clock, cut, close };
}

test("each kind of ban keeps out whom it names and nobody else", async () => {
  const { ban, isBanned } = await open(await openDir());
  await ban("clientid", "bad");
  await ban("username", "eve");
  await ban("clientid_re", "^scan-\\d+$");
  await ban("username_re", "^tmp");
  await ban("peerhost", "192.0.2.7");
  await ban("peerhost_net", "198.51.100.0/25");
  await ban("peerhost_net", "2001:db8::/33");
  expect(isBanned("bad")).toBe(true);
  expect(isBanned("bad2")).toBe(false);
  expect(isBanned("x", "eve")).toBe(true);
  expect(isBanned("eve", "bad")).toBe(false);
  expect(isBanned("scan-12")).toBe(true);
  expect(isBanned("scan-x")).toBe(false);
  expect(isBanned("x", "tmp-1")).toBe(true);
  expect(isBanned("x", null, "192.0.2.7")).toBe(true);
  expect(isBanned("x", null, "192.0.2.8")).toBe(false);
  expect(isBanned("x", null, "198.51.100.127")).toBe(true);
  expect(isBanned("x", null, "198.51.100.128")).toBe(false);
  expect(isBanned("x", null, "2001:db8:7fff::1")).toBe(true);
  expect(isBanned("x", null, "2001:db8:8000::1")).toBe(false);
  expect(isBanned("x", null, "")).toBe(false);
});

test("IPv6 addresses are the same however they are written", async () => {
  const { ban, isBanned, bans } = await open(await openDir());
  await ban("peerhost", "2001:DB8:0:0::1");
  await ban("peerhost", "::ffff:192.0.2.9");
  expect(isBanned("x", null, "2001:db8::1")).toBe(true);
  expect(isBanned("x", null, "192.0.2.9")).toBe(true);
  expect(await bans.remove("peerhost", "2001:DB8:0:0::1")).toBe(true);
  expect(isBanned("x", null, "2001:db8::1")).toBe(false);
});

test("a new ban disconnects those who are in", async () => {
  const clients: Client[] = [];
  for (let i = 0; i < 2000; i++) {
    clients.push({
      clientId: `c${i}`,
      username: null,
      peerAddress: "10.0.0.1",
      isConnected: i < 1500,
    });
  }
  const { ban, cut } = await open(await openDir(), new ManualClock(), clients);
  await ban("clientid_re", "^c\\d?99$");
  expect(cut).toEqual(
    ["c99", ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => `c${n}99`)].toSorted(
      (a, b) => Number(a.slice(1)) - Number(b.slice(1)),
    ),
  );
});

test("a ban ends when its time is over, and the same may be banned again", async () => {
  const { bans, ban, isBanned, clock } = await open(await openDir());
  await ban("clientid", "a", clock.nowMs() + 5000);
  await expect(ban("clientid", "a")).rejects.toMatchObject({ code: "BAN_EXISTS" });
  clock.advance(4999);
  expect(isBanned("a")).toBe(true);
  clock.advance(1);
  expect(isBanned("a")).toBe(false);
  expect([...bans.list()]).toEqual([]);
  await ban("clientid", "a");
  clock.advance(60_000);
  expect(isBanned("a")).toBe(true);
});

test("a wall clock that is ahead for a while loses no ban (F6)", async () => {
  const { bans, ban, isBanned, clock } = await open(await openDir());
  const nowMs = clock.nowMs();
  await ban("clientid", "a", nowMs + 86_400_000);
  clock.jumpTo(nowMs + 10 * 365 * 86_400_000);
  clock.advance(600_000);
  clock.jumpTo(nowMs);
  expect(isBanned("a")).toBe(true);
  clock.advance(86_400_000 + 3_660_000);
  expect(bans.status()).toEqual({ count: 0 });
});

test("bans survive a restart; what has been lifted does not come back", async () => {
  const dir = await openDir();
  const first = await open(dir);
  await first.ban("clientid", "stays");
  await first.ban("peerhost_net", "192.0.2.0/24", first.clock.nowMs() + 3_600_000);
  await first.ban("username_re", "^goes");
  expect(await first.bans.remove("username_re", "^goes")).toBe(true);
  expect(await first.bans.remove("username_re", "^goes")).toBe(false);
  await first.close();
  const second = await open(dir);
  expect([...second.bans.list()].map(({ as, who }) => [as, who])).toEqual([
    ["clientid", "stays"],
    ["peerhost_net", "192.0.2.0/24"],
  ]);
  expect(second.isBanned("x", null, "192.0.2.200")).toBe(true);
  await second.bans.clear();
  await second.close();
  expect((await open(dir)).bans.status()).toEqual({ count: 0 });
});

test.each([
  ["clientid", "", "PARAMETER_INVALID"],
  ["peerhost", "192.0.2.0/24", "PARAMETER_INVALID"],
  ["peerhost", "host.example", "PARAMETER_INVALID"],
  ["peerhost_net", "192.0.2.0/33", "PARAMETER_INVALID"],
  ["clientid_re", "(", "REGEX_INVALID"],
] as const)("a ban by %s of %j is refused", async (as, who, code) => {
  const { ban, bans } = await open(await openDir());
  await expect(ban(as, who)).rejects.toMatchObject({ code });
  expect(bans.status().count).toBe(0);
});

test("regular expressions are bounded in number, and a time in the past is refused", async () => {
  const { ban, clock } = await open(await openDir());
  await expect(ban("clientid", "a", clock.nowMs())).rejects.toMatchObject({
    details: { field: "until" },
  });
  const wanted = Array.from({ length: 64 }, (_, n) => ban("clientid_re", `^r${n}$`));
  await Promise.all(wanted);
  await expect(ban("clientid_re", "one more")).rejects.toMatchObject({ code: "LIMIT_REACHED" });
});

test("ten thousand bans cost a CONNECT microseconds", async () => {
  const { ban, isBanned } = await open(await openDir());
  for (let i = 0; i < 9990; i += 333) {
    await Promise.all(
      Array.from({ length: 333 }, (_, n) =>
        ban("peerhost", `10.1.${(i + n) >> 8}.${(i + n) & 255}`),
      ),
    );
  }
  const startedMs = performance.now();
  for (let i = 0; i < 10_000; i++) isBanned(`c${i}`, "user", "10.2.0.1");
  expect(performance.now() - startedMs).toBeLessThan(500);
  expect(isBanned("x", null, "10.1.38.0")).toBe(true);
});
