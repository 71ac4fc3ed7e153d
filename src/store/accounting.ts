import { type ByteReader, type ByteWriter, MalformedRecord } from "./bytes.ts";
import { WRITE_CAUSES, type WriteCause, type WriteCounts } from "./status.ts";

const DAY_MS = 24 * 3600 * 1000;

/** Bytes LevelDB's log adds: per commit (batch header, record header) and per record (tag, lengths). */
const COMMIT_OVERHEAD_BYTES = 19;
const RECORD_OVERHEAD_BYTES = 4;

/** Writes of one commit, before it is known whether it gets through. */
export class CommitCost {
  readonly operations = zeros();
  readonly bytes = zeros();

  /** A record was put or deleted; `bytes` of key and value. */
  add(cause: WriteCause, bytes: number): void {
    this.operations[cause]++;
    this.bytes[cause] += bytes + RECORD_OVERHEAD_BYTES;
  }

  get totalBytes(): number {
    return WRITE_CAUSES.reduce((sum, cause) => sum + this.bytes[cause], 0);
  }

  get isEmpty(): boolean {
    return WRITE_CAUSES.every((cause) => this.operations[cause] === 0);
  }
}

type Numbers = Record<WriteCause, number>;

interface Tally {
  readonly operations: Numbers;
  readonly bytes: Numbers;
  readonly fsyncs: Numbers;
}

/** Counts what is written, by cause: since the start, and by day of gateway time. */
export class Accounting {
  readonly #total = newTally();
  #day = 0;
  #today = newTally();
  #yesterday: Tally | null = null;

  /** A commit got through. */
  committed(cost: CommitCost, isFsynced: boolean, gatewayMs: number): void {
    this.#turnTo(gatewayMs);
    const main = mainCause(cost);
    for (const tally of [this.#total, this.#today]) {
      for (const cause of WRITE_CAUSES) {
        tally.operations[cause] += cost.operations[cause];
        tally.bytes[cause] += cost.bytes[cause];
      }
      tally.bytes[main] += COMMIT_OVERHEAD_BYTES;
      if (isFsynced) tally.fsyncs[main]++;
    }
  }

  get total(): WriteCounts {
    return countsOf(this.#total);
  }

  today(gatewayMs: number): WriteCounts {
    this.#turnTo(gatewayMs);
    return countsOf(this.#today);
  }

  yesterday(gatewayMs: number): WriteCounts | null {
    this.#turnTo(gatewayMs);
    return this.#yesterday === null ? null : countsOf(this.#yesterday);
  }

  /** Writes the days' figures; those since the start are not kept. */
  write(out: ByteWriter, gatewayMs: number): void {
    this.#turnTo(gatewayMs);
    out.u8(WRITE_CAUSES.length);
    out.varint(this.#day);
    writeTally(out, this.#today);
    out.u8(this.#yesterday === null ? 0 : 1);
    if (this.#yesterday !== null) writeTally(out, this.#yesterday);
  }

  /** Goes on with figures that were stored. Those of a version with other causes start over. */
  restore(from: ByteReader): void {
    if (from.u8() !== WRITE_CAUSES.length) return;
    this.#day = from.varint();
    this.#today = readTally(from);
    this.#yesterday = from.u8() === 0 ? null : readTally(from);
    if (!from.isAtEnd) throw new MalformedRecord("the figures are too long");
  }

  #turnTo(gatewayMs: number): void {
    const day = Math.floor(gatewayMs / DAY_MS);
    if (day <= this.#day) return;
    this.#yesterday = day === this.#day + 1 ? this.#today : newTally();
    this.#today = newTally();
    this.#day = day;
  }
}

function zeros(): Numbers {
  return {
    queue: 0,
    session: 0,
    retained: 0,
    inbound: 0,
    record: 0,
    outbox: 0,
    time: 0,
    delete: 0,
  };
}

function newTally(): Tally {
  return { operations: zeros(), bytes: zeros(), fsyncs: zeros() };
}

/** The cause that most bytes of a commit are for: it bears the fsync. Time marks only join others. */
function mainCause({ bytes }: CommitCost): WriteCause {
  let main: WriteCause = "time";
  for (const cause of WRITE_CAUSES) {
    if (cause !== "time" && bytes[cause] > (main === "time" ? 0 : bytes[main])) main = cause;
  }
  return main;
}

function countsOf(tally: Tally): WriteCounts {
  const count = (cause: WriteCause) => ({
    operations: tally.operations[cause],
    bytes: tally.bytes[cause],
    fsyncs: tally.fsyncs[cause],
  });
  return {
    queue: count("queue"),
    session: count("session"),
    retained: count("retained"),
    inbound: count("inbound"),
    record: count("record"),
    outbox: count("outbox"),
    time: count("time"),
    delete: count("delete"),
  };
}

function writeTally(out: ByteWriter, tally: Tally): void {
  for (const numbers of [tally.operations, tally.bytes, tally.fsyncs]) {
    for (const cause of WRITE_CAUSES) out.varint(numbers[cause]);
  }
}

function readTally(from: ByteReader): Tally {
  const tally = newTally();
  for (const numbers of [tally.operations, tally.bytes, tally.fsyncs]) {
    for (const cause of WRITE_CAUSES) numbers[cause] = from.varint();
  }
  return tally;
}
