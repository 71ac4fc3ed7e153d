import { createHash } from "node:crypto";
import { GatewayError, reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import { linearRegex } from "../regex/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import { addressBlock, addressBytes } from "./address.ts";
import type { Ban, BanKind, NewBan } from "./ban.ts";
import { BanIndex, type Candidate, type IndexedBan } from "./ban-index.ts";
import { readBan, writeBan } from "./record.ts";

/** Where the bans last: a record table of the store. */
export interface BanTable {
  entries(): AsyncIterable<readonly (readonly [key: string, value: Buffer])[]>;
  put(key: string, value: Buffer): void;
  delete(key: string): void;
  committed(): Promise<void>;
}

export interface BansDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly table: BanTable;
  /** Everybody with a session; a new ban looks through them. */
  clients(): Iterable<{
    readonly clientId: string;
    readonly username: string | null;
    readonly peerAddress: string;
    readonly isConnected: boolean;
  }>;
  disconnect(clientId: string): boolean;
}

/**
 * Who is kept out. At most 10,000 bans, of them 64 with regular expressions, which look at the
 * first 1,024 characters. Bans outlive restarts; what has expired is forgotten within a minute.
 */
export interface Bans {
  /** Reads the bans; the store must have been started. */
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  status(): { readonly count: number };
  /** Whether a ban keeps the client out now. Costs microseconds without regular expressions. */
  isBanned(client: Candidate): boolean;
  /** Those in force, oldest first. */
  list(): Iterable<Ban>;
  /**
   * Keeps clients out from now on and disconnects those that are in; resolves when it is durable.
   * @throws GatewayError BAN_EXISTS; PARAMETER_INVALID naming `who` or `until`; REGEX_INVALID;
   * LIMIT_REACHED; STORE_FULL, STORE_WRITE_FAILED
   */
  add(ban: NewBan): Promise<Ban>;
  /** False when there was none. @throws GatewayError STORE_FULL, STORE_WRITE_FAILED */
  remove(as: BanKind, who: string): Promise<boolean>;
  /** @throws GatewayError STORE_FULL, STORE_WRITE_FAILED */
  clear(): Promise<void>;
}

const MAX_BANS = 10_000;
const MAX_REGEXES = 64;
const MAX_WHO_BYTES = 65_535;
const SWEEP_MS = 60_000;
/** A ban that is over stays that long by a clock that does not jump: the wall clock may be wrong. */
const KEEP_MS = 3_600_000;
/** Clients looked at in one turn of the loop. */
const SLICE = 500;

export function createBans(deps: BansDeps): Bans {
  const { clock, table } = deps;
  const log = deps.log.child({ part: "bans" });
  const byKey = new Map<string, IndexedBan>();
  const index = new BanIndex();
  /** Since when bans have been over, monotonic ms, by their keys. */
  let over = new Map<string, number>();
  let sweeper: Timer | null = null;
  let isStopped = false;

  const isInForce = ({ untilMs }: Ban): boolean => untilMs === null || untilMs > clock.nowMs();

  function forget(key: string): void {
    const entry = byKey.get(key);
    if (entry === undefined) return;
    byKey.delete(key);
    index.remove(entry);
    table.delete(key);
  }

  function sweep(): void {
    let count = 0;
    const nowMs = clock.monotonicMs();
    const still = new Map<string, number>();
    for (const [key, { ban }] of byKey) {
      if (isInForce(ban)) continue;
      const sinceMs = over.get(key) ?? nowMs;
      if (nowMs - sinceMs < KEEP_MS) {
        still.set(key, sinceMs);
        continue;
      }
      forget(key);
      count++;
    }
    over = still;
    if (count === 0) return;
    table.committed().catch((err: unknown) => {
      log.warn({ err: reasonOf(err) }, "bans that are over could not be removed yet");
    });
  }

  /** A later CONNECT is refused already, so nobody is missed while the loop gets its turns. */
  async function throwOut(entry: IndexedBan): Promise<number> {
    const only = new BanIndex();
    only.add(entry);
    let count = 0;
    let left = SLICE;
    for (const { clientId, username, peerAddress: address, isConnected } of deps.clients()) {
      if (isStopped) break;
      const isMeant = isConnected && only.has({ clientId, username, address }, isInForce);
      if (isMeant && deps.disconnect(clientId)) count++;
      left--;
      if (left > 0) continue;
      left = SLICE;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return count;
  }

  return {
    async start(signal) {
      for await (const slice of table.entries()) {
        signal?.throwIfAborted();
        for (const [key, value] of slice) {
          const ban = readBan(value);
          const entry = ban === null ? null : indexedOrNull(ban);
          if (entry === null) {
            log.error({ key }, "a stored ban is unreadable and left out");
            continue;
          }
          byKey.set(key, entry);
          index.add(entry);
        }
      }
      sweeper = clock.every(SWEEP_MS, sweep);
      if (byKey.size > 0) log.info({ count: byKey.size }, "bans read");
    },

    async stop() {
      isStopped = true;
      sweeper?.cancel();
      sweeper = null;
    },

    status: () => ({ count: byKey.size }),

    isBanned: (client) => byKey.size > 0 && index.has(client, isInForce),

    *list() {
      const bans = [...byKey.values()].map(({ ban }) => ban);
      yield* bans.filter(isInForce).sort((left, right) => left.atMs - right.atMs);
    },

    async add({ atMs, ...wanted }) {
      const ban: Ban = { ...wanted, atMs: atMs ?? clock.nowMs() };
      const { as, who, untilMs } = ban;
      if (untilMs !== null && untilMs <= clock.nowMs()) {
        const expected = "a time that is still to come";
        throw new GatewayError("PARAMETER_INVALID", {
          field: "until",
          value: new Date(untilMs).toISOString(),
          expected,
        });
      }
      const entry = indexed(ban);
      const key = keyOf(as, who);
      const before = byKey.get(key);
      if (before !== undefined && isInForce(before.ban)) {
        throw new GatewayError("BAN_EXISTS", { as, who });
      }
      if (before === undefined && byKey.size >= MAX_BANS) {
        throw new GatewayError("LIMIT_REACHED", { what: "bans", max: MAX_BANS });
      }
      if ("regex" in entry && index.regexCount >= MAX_REGEXES) {
        throw new GatewayError("LIMIT_REACHED", {
          what: "bans with regular expressions",
          max: MAX_REGEXES,
        });
      }
      if (before !== undefined) index.remove(before);
      byKey.set(key, entry);
      index.add(entry);
      table.put(key, writeBan(ban));
      try {
        await table.committed();
      } catch (err) {
        if (byKey.get(key) === entry) forget(key);
        throw err;
      }
      const count = await throwOut(entry);
      log.info({ as, who, by: ban.by, disconnected: count }, "banned");
      return ban;
    },

    async remove(as, who) {
      const key = keyOf(as, who);
      const entry = byKey.get(key);
      if (entry === undefined) return false;
      forget(key);
      await table.committed();
      return isInForce(entry.ban);
    },

    async clear() {
      for (const key of [...byKey.keys()]) forget(key);
      await table.committed();
    },
  };
}

/** Of one length, whatever the client's name is. */
function keyOf(as: BanKind, who: string): string {
  return createHash("sha256").update(`${as}\0${who}`).digest("hex");
}

function indexed(ban: Ban): IndexedBan {
  const { as, who } = ban;
  if (who === "" || Buffer.byteLength(who) > MAX_WHO_BYTES || !who.isWellFormed()) {
    const expected = `text of 1 to ${MAX_WHO_BYTES} bytes`;
    throw new GatewayError("PARAMETER_INVALID", { field: "who", value: who, expected });
  }
  switch (as) {
    case "clientid":
    case "username":
      return { ban, kind: as, value: who };
    case "clientid_re":
    case "username_re":
      return { ban, kind: as, regex: linearRegex(who) };
    case "peerhost": {
      const bytes = addressBytes(who);
      if (bytes === null) throw badAddress(who, "an IP address");
      return { ban, kind: "block", bytes, prefix: bytes.length * 8 };
    }
    case "peerhost_net": {
      const block = addressBlock(who);
      if (block === null) throw badAddress(who, 'a block of addresses such as "192.0.2.0/24"');
      return { ban, kind: "block", ...block };
    }
  }
}

function indexedOrNull(ban: Ban): IndexedBan | null {
  try {
    return indexed(ban);
  } catch {
    return null;
  }
}

function badAddress(value: string, expected: string): GatewayError {
  return new GatewayError("PARAMETER_INVALID", { field: "who", value, expected });
}
