import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  createFramer,
  type DiscardReason,
  encodeFrame,
  type FramingConfig,
  Unsendable,
} from "./index.ts";

const DEFAULTS: FramingConfig = {
  type: "line",
  max_frame_bytes: 64,
  delimiter_hex: "0a",
  length_bytes: 4,
  prefix_bytes: 2,
  prefix_order: "big",
  prefix_counts_itself: false,
  idle_ms: 50,
};

interface Outcome {
  readonly frames: string[];
  readonly discarded: Record<DiscardReason, number>;
}

/** What a framer makes of chunks; `idleAtEnd` tells it of silence after the last. */
function run(cfg: Partial<FramingConfig>, chunks: readonly Buffer[], idleAtEnd = false): Outcome {
  const outcome: Outcome = {
    frames: [],
    discarded: { too_long: 0, malformed: 0, incomplete: 0 },
  };
  const framer = createFramer(
    { ...DEFAULTS, ...cfg },
    {
      frame: (bytes) => outcome.frames.push(bytes.toString("hex")),
      discard: (bytes, reason) => {
        outcome.discarded[reason] += bytes;
      },
    },
  );
  for (const chunk of chunks) framer.push(chunk);
  if (idleAtEnd) framer.idle();
  framer.reset();
  return outcome;
}

const hex = (text: string) => Buffer.from(text, "hex");
const ascii = (text: string) => Buffer.from(text);

/** Framings whose result does not depend on time or on how bytes are read. */
const FRAMINGS: readonly Partial<FramingConfig>[] = [
  { type: "line" },
  { type: "delimiter", delimiter_hex: "0d0a" },
  { type: "delimiter", delimiter_hex: "414142" },
  { type: "delimiter", delimiter_hex: "00" },
  { type: "fixed" },
  { type: "length_prefix", prefix_bytes: 1 },
  { type: "length_prefix", prefix_order: "little", prefix_counts_itself: true },
  { type: "length_prefix", prefix_bytes: 4 },
  { type: "slip" },
  { type: "cobs" },
];

/** Bytes in which delimiters, escapes and small lengths are frequent. */
const stream = fc
  .array(
    fc.oneof(
      fc.constantFrom(0x00, 0x01, 0x02, 0x03, 0x0a, 0x0d, 0x41, 0x42, 0xc0, 0xdb, 0xdc, 0xdd),
      fc.integer({ min: 0, max: 255 }),
    ),
    { maxLength: 300 },
  )
  .map((bytes) => Buffer.from(bytes));

function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, index) => bytes.subarray(from, at[index] ?? bytes.length));
}

describe.each(FRAMINGS)("$type $delimiter_hex", (cfg) => {
  it("gives the same frames and counts however the bytes are split", () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat(), { maxLength: 20 }), (bytes, cuts) => {
        expect(run(cfg, split(bytes, cuts))).toEqual(run(cfg, [bytes]));
      }),
      { numRuns: 500 },
    );
  });

  it("never gives a frame over the bound, and counts what no frame holds", () => {
    fc.assert(
      fc.property(stream, (bytes) => {
        const { frames, discarded } = run(cfg, [bytes]);
        for (const frame of frames) expect(frame.length / 2).toBeLessThanOrEqual(64);
        const counted = Object.values(discarded).reduce((sum, count) => sum + count, 0);
        const framed = frames.reduce((sum, frame) => sum + frame.length / 2, 0);
        // Escapes, delimiters and prefixes are neither: nothing is counted twice.
        expect(counted + framed).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 500 },
    );
  });

  it("reads back what it writes", () => {
    const length = cfg.type === "fixed" ? 4 : 64;
    const payload = fc.uint8Array({ minLength: cfg.type === "fixed" ? 4 : 1, maxLength: length });
    fc.assert(
      fc.property(fc.array(payload, { maxLength: 5 }), (payloads) => {
        const sent: string[] = [];
        const chunks: Buffer[] = [];
        for (const bytes of payloads) {
          try {
            chunks.push(encodeFrame({ ...DEFAULTS, ...cfg }, Buffer.from(bytes)));
          } catch (err) {
            if (err instanceof Unsendable) continue;
            throw err;
          }
          // A CR before the end of a line belongs to the end.
          if (cfg.type === "line" && bytes.at(-1) === 0x0d) {
            chunks.pop();
            continue;
          }
          sent.push(Buffer.from(bytes).toString("hex"));
        }
        const { frames, discarded } = run(cfg, chunks);
        expect(frames).toEqual(sent);
        expect(discarded).toEqual({ too_long: 0, malformed: 0, incomplete: 0 });
      }),
      { numRuns: 300 },
    );
  });
});

describe("line", () => {
  it("takes LF and CR LF, leaves out empty lines, and counts one that is too long", () => {
    const long = "x".repeat(65);
    const { frames, discarded } = run({}, [ascii(`a\r\n\n\r\nb\n${long}\nc`)]);
    expect(frames).toEqual([ascii("a").toString("hex"), ascii("b").toString("hex")]);
    expect(discarded).toEqual({ too_long: 65, malformed: 0, incomplete: 1 });
  });
});

describe("slip (RFC 1055)", () => {
  it("resolves escapes, and gives up a frame with a wrong one", () => {
    const { frames, discarded } = run({ type: "slip" }, [
      hex("c001dbdc02dbddc0" + "05db07c0" + "06c0"),
    ]);
    expect(frames).toEqual(["01c002db", "06"]);
    expect(discarded.malformed).toBe(3);
  });
});

describe("cobs", () => {
  it.each([
    ["0100", ""],
    ["010100", "00"],
    ["0311220233".concat("00"), "11220033"],
    [`ff${"01".repeat(254)}00`, "01".repeat(254)],
    [`ff${"01".repeat(254)}020500`, `${"01".repeat(254)}05`],
  ])("%s stands for %s", (line, payload) => {
    const cfg = { type: "cobs", max_frame_bytes: 300 } as const;
    expect(run(cfg, [hex(line)]).frames).toEqual([payload]);
    expect(encodeFrame({ ...DEFAULTS, ...cfg }, hex(payload)).toString("hex")).toBe(line);
  });

  it("counts a frame that ends inside a run", () => {
    const { frames, discarded } = run({ type: "cobs" }, [hex("0511220002aa00")]);
    expect(frames).toEqual(["aa"]);
    expect(discarded.malformed).toBe(2);
  });
});

describe("length_prefix", () => {
  it("finds the next frame after a length that cannot be", () => {
    const { frames, discarded } = run({ type: "length_prefix" }, [
      hex("ffff" + "0002aabb" + "0001cc"),
    ]);
    expect(frames).toEqual(["aabb", "cc"]);
    expect(discarded.malformed).toBe(2);
  });
});

describe("silence", () => {
  it("ends a frame of the idle framing, and cuts one at the bound", () => {
    expect(run({ type: "idle", max_frame_bytes: 4 }, [hex("010203040506")], true)).toEqual({
      frames: ["01020304", "0506"],
      discarded: { too_long: 0, malformed: 0, incomplete: 0 },
    });
  });

  it.each(["fixed", "length_prefix"] as const)("gives up a %s frame that lost a byte", (type) => {
    const outcome = run({ type }, [hex("0003aa")], true);
    expect(outcome.frames).toEqual([]);
    expect(outcome.discarded.incomplete).toBe(3);
  });
});

it("takes a byte at a time as fast as large chunks, whatever the framing", () => {
  // Quadratic work would take minutes for two million bytes of one frame that never ends.
  for (const cfg of FRAMINGS) {
    const framer = createFramer(
      { ...DEFAULTS, ...cfg, max_frame_bytes: 65_536, length_bytes: 65_536 },
      { frame() {}, discard() {} },
    );
    const byte = Buffer.from([0x41]);
    const started = process.cpuUsage();
    for (let count = 0; count < 500_000; count++) framer.push(byte);
    const { user, system } = process.cpuUsage(started);
    expect((user + system) / 500_000, String(cfg.type)).toBeLessThan(20);
  }
});
