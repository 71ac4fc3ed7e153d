import { crc32 } from "node:zlib";

/** The state blocks and the choice as `firmware-image/boot/boot.cmd` describes them, a third time, to hold both ends against. */

export const BLOCK_BYTES = 8192;
/** Where the two blocks are on the card. */
export const BLOCK_OFFSETS = [512 * 1024, 768 * 1024] as const;

export type Slot = "A" | "B";

export interface BootState {
  readonly seq: number;
  readonly order: "A B" | "B A";
  readonly left: Readonly<Record<Slot, number>>;
  readonly good: Readonly<Record<Slot, 0 | 1>>;
}

/** What counts where no block is valid. */
export const DEFAULT_STATE: BootState = {
  seq: 0,
  order: "A B",
  left: { A: 3, B: 3 },
  good: { A: 0, B: 0 },
};

/** A block as U-Boot and `boot-choice` both write it. */
export function encodeBlock({ seq, order, left, good }: BootState): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const texts = [
    `BOOT_A_GOOD=${good.A}`,
    `BOOT_A_LEFT=${left.A}`,
    `BOOT_B_GOOD=${good.B}`,
    `BOOT_B_LEFT=${left.B}`,
    `BOOT_ORDER=${order}`,
    `TIDEGATE_SEQ=${seq.toString(16)}`,
  ];
  block.write(texts.map((text) => `${text}\0`).join(""), 4, "latin1");
  block.writeUInt32LE(crc32(block.subarray(4)), 0);
  return block;
}

/** The state in a block; null where its checksum is wrong or it has no counter. */
function decodeBlock(block: Buffer): BootState | null {
  if (block.readUInt32LE(0) !== crc32(block.subarray(4))) return null;
  const [texts = ""] = block.toString("latin1", 4).split("\0\0", 1);
  const found = new Map(
    texts.split("\0").map((text) => {
      const at = text.indexOf("=");
      return [text.slice(0, at), text.slice(at + 1)] as const;
    }),
  );
  const seq = found.get("TIDEGATE_SEQ");
  if (seq === undefined) return null;
  const number = (name: string, otherwise: number) => Number(found.get(name) ?? otherwise);
  return {
    seq: Number.parseInt(seq, 16),
    order: found.get("BOOT_ORDER") === "B A" ? "B A" : "A B",
    left: { A: number("BOOT_A_LEFT", 3), B: number("BOOT_B_LEFT", 3) },
    good: { A: number("BOOT_A_GOOD", 0) === 1 ? 1 : 0, B: number("BOOT_B_GOOD", 0) === 1 ? 1 : 0 },
  };
}

/** Which of two blocks counts, and what it says. */
export function readPair(blocks: readonly [Buffer, Buffer]): {
  readonly block: 0 | 1 | null;
  readonly state: BootState;
} {
  const [first, second] = blocks.map(decodeBlock);
  if (second && (!first || isAhead(second.seq, first.seq))) return { block: 1, state: second };
  if (first) return { block: 0, state: first };
  return { block: null, state: DEFAULT_STATE };
}

/** A start by U-Boot: the slot it takes (null: none has attempts left), and the state it leaves. */
export function nextStart(state: BootState): { slot: Slot | null; state: BootState } {
  const seq = (state.seq + 1) % 2 ** 32;
  const order: readonly Slot[] = state.order === "A B" ? ["A", "B"] : ["B", "A"];
  const slot = order.find((name) => state.left[name] > 0) ?? null;
  if (slot === null) return { slot, state: { ...DEFAULT_STATE, seq, order: state.order } };
  const left = { ...state.left, [slot]: state.left[slot] - 1 };
  return { slot, state: { ...state, seq, left } };
}

function isAhead(one: number, other: number): boolean {
  const ahead = (one - other + 2 ** 32) % 2 ** 32;
  return ahead > 0 && ahead < 2 ** 31;
}
