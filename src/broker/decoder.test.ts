import fc from "fast-check";
import { expect, test } from "vitest";
import { BufferPool } from "./buffer-pool.ts";
import { PacketFault } from "./codec/index.ts";
import { FrameScanner } from "./decoder.ts";

interface Frame {
  readonly first: number;
  readonly body: string;
}

function collect(chunks: readonly Buffer[], maxPacketBytes = 1000, stopEvery = 0) {
  const frames: Frame[] = [];
  const scanner = new FrameScanner(
    {
      onFrame(buf, start, body, end) {
        frames.push({ first: buf[start] ?? -1, body: buf.toString("hex", body, end) });
        return stopEvery === 0 || frames.length % stopEvery !== 0;
      },
      admit: () => undefined,
    },
    { maxPacketBytes },
    new BufferPool(),
  );
  let fault: PacketFault | null = null;
  let heldBytes = 0;
  try {
    for (const chunk of chunks) {
      let isDone = scanner.push(chunk);
      while (!isDone) isDone = scanner.resume();
      heldBytes = Math.max(heldBytes, scanner.heldBytes);
    }
  } catch (err) {
    if (!(err instanceof PacketFault)) throw err;
    fault = err;
  }
  return { frames, fault: fault?.code ?? null, heldBytes };
}

function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const edges = [0, ...at, bytes.length];
  return edges.slice(1).map((end, i) => Buffer.from(bytes.subarray(edges[i], end)));
}

function frameOf(body: Uint8Array): Buffer {
  const { length } = body;
  const header = length < 128 ? [0x30, length] : [0x30, (length & 127) | 128, length >> 7];
  return Buffer.concat([Buffer.from(header), body]);
}

const anyCuts = fc.array(fc.nat(2000), { maxLength: 40 });

test("any split of the bytes gives the same packets", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 8 }),
      anyCuts,
      fc.nat(3),
      (bodies, cuts, stopEvery) => {
        const bytes = Buffer.concat(bodies.map(frameOf));
        const whole = collect([bytes]);
        expect(whole.frames.map(({ body }) => body)).toEqual(
          bodies.map((body) => Buffer.from(body).toString("hex")),
        );
        expect(collect(split(bytes, cuts), 1000, stopEvery).frames).toEqual(whole.frames);
        expect(collect([...bytes].map((byte) => Buffer.from([byte]))).frames).toEqual(whole.frames);
      },
    ),
  );
});

test("any bytes end in packets or a refusal, the same for any split, and little is kept", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), anyCuts, (raw, cuts) => {
      const bytes = Buffer.from(raw);
      const whole = collect([bytes], 500);
      const pieces = collect(split(bytes, cuts), 500);
      expect(pieces.frames).toEqual(whole.frames);
      expect(pieces.fault).toBe(whole.fault);
      expect(pieces.heldBytes).toBeLessThanOrEqual(2048);
    }),
  );
});

test("an announced length costs no memory, and a packet in pieces linear time", () => {
  const large = 4_000_000;
  const header = Buffer.from([0x30, 0x80, 0x92, 0xf4, 0x01]);
  expect(collect([header], 5_000_000).heldBytes).toBeLessThan(3000);
  const pieces = Array.from({ length: large / 100 }, () => Buffer.alloc(100));
  const startMs = performance.now();
  const { frames, heldBytes } = collect([header, ...pieces], 5_000_000);
  expect(frames).toHaveLength(1);
  expect(heldBytes).toBeLessThanOrEqual(large + 65_536);
  expect(performance.now() - startMs).toBeLessThan(2000);
});

test("a packet over the limit is refused at its fixed header, a fifth length byte at once", () => {
  expect(collect([Buffer.from([0x30, 0xff, 0x07])], 1000).fault).toBe(0x95);
  expect(collect([Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80])]).fault).toBe(0x81);
});
