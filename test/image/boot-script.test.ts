import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { tempDir } from "../helpers/temp-dir.ts";
import {
  BLOCK_BYTES,
  BLOCK_OFFSETS,
  type BootState,
  DEFAULT_STATE,
  encodeBlock,
  nextStart,
  readPair,
} from "../update/boot-state.ts";

/** The boot script under the real U-Boot, without a kernel: hundreds of pairs of blocks in one start. */

const SCRIPT = fileURLToPath(new URL("../../firmware-image/boot/boot.cmd", import.meta.url));
const UBOOT = "/usr/lib/u-boot/qemu_arm64/u-boot.bin";

const SECTOR = 512;
const PAIR_BYTES = 2 * BLOCK_BYTES;
/** Pairs to begin with, and after them what the script made of them. */
const CASES_AT = 16 * 1024 * 1024;

const state = (change: Partial<BootState>): BootState => ({ ...DEFAULT_STATE, ...change });

it("U-Boot takes the slot and leaves the state that the description says, whatever the blocks hold", async () => {
  const pairs = cases();
  const results = await startEach(pairs);
  pairs.forEach((pair, index) => {
    const found = readPair(pair);
    const expected = nextStart(found.state);
    const written = found.block === 0 ? 1 : 0;
    const after: [Buffer, Buffer] = [...pair];
    after[written] = encodeBlock(expected.state);
    const result = results[index];
    expect(result?.slot, `case ${index}`).toBe(expected.slot);
    expect(result?.blocks, `case ${index}`).toEqual(after);
  });
}, 180_000);

function cases(): (readonly [Buffer, Buffer])[] {
  const empty = Buffer.alloc(BLOCK_BYTES);
  const pairs: (readonly [Buffer, Buffer])[] = [
    [empty, empty],
    [Buffer.alloc(BLOCK_BYTES, 0xff), Buffer.alloc(BLOCK_BYTES, "BOOT_ORDER=B A\0")],
  ];
  // Every choice: order, attempts, what is known to be good.
  for (const order of ["A B", "B A"] as const) {
    for (const a of [0, 1, 2, 3, 6, 9]) {
      for (const b of [0, 1, 3, 9]) {
        const good = { A: a > 3 ? 1 : 0, B: b > 3 ? 1 : 0 } as const;
        pairs.push([encodeBlock(state({ seq: 4, order, left: { A: a, B: b }, good })), empty]);
      }
    }
  }
  // Counters, also where they wrap.
  const counters = [0, 1, 9, 10, 15, 16, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff];
  for (const one of counters) {
    for (const other of counters) {
      const first = encodeBlock(state({ seq: one, order: "A B", left: { A: 2, B: 3 } }));
      pairs.push([first, encodeBlock(state({ seq: other, order: "B A", left: { A: 3, B: 2 } }))]);
    }
  }
  // The newer block torn at any byte of its texts, of its checksum, and between sectors; and changed there.
  const before = encodeBlock(state({ seq: 8, order: "B A", good: { A: 1, B: 0 } }));
  const older = encodeBlock(state({ seq: 7 }));
  const next = encodeBlock(state({ seq: 9, left: { A: 0, B: 2 } }));
  for (let at = 0; at < 110; at += 1) {
    pairs.push([before, Buffer.concat([next.subarray(0, at), older.subarray(at)])]);
    pairs.push([Buffer.concat([next.subarray(0, at), older.subarray(at)]), before]);
  }
  for (let at = 0; at < BLOCK_BYTES; at = at < 110 ? at + 3 : at + 509) {
    const garbled = Buffer.from(next);
    garbled[at] = (garbled[at] ?? 0) ^ 0x01;
    pairs.push([before, garbled]);
  }
  return pairs;
}

interface Result {
  readonly slot: "A" | "B" | null;
  readonly blocks: readonly [Buffer, Buffer];
}

async function startEach(pairs: readonly (readonly [Buffer, Buffer])[]): Promise<Result[]> {
  const directory = tempDir();
  const disk = join(directory, "disk.img");
  const image = Buffer.alloc(CASES_AT + 2 * pairs.length * PAIR_BYTES);
  pairs.forEach((pair, index) => {
    Buffer.concat(pair).copy(image, CASES_AT + index * PAIR_BYTES);
  });
  writeFileSync(disk, image);

  // The script itself, but for the resets: those would end the run.
  const script = readFileSync(SCRIPT, "utf8").replaceAll(/^( *)reset$/gm, "$1exit");
  const choice = compiled(join(directory, "choice"), script);
  const driver = compiled(join(directory, "driver"), driverOf(pairs.length));
  const text = await uBoot(disk, driver, choice);

  const after = readFileSync(disk);
  const said = text.split(/^CASE \d+\r?$/m).slice(1);
  return pairs.map((_, index) => {
    const at = CASES_AT + (pairs.length + index) * PAIR_BYTES;
    const slot = /starting slot ([AB]) /.exec(said[index] ?? "")?.[1];
    return {
      slot: slot === "A" || slot === "B" ? slot : null,
      blocks: [
        after.subarray(at, at + BLOCK_BYTES),
        after.subarray(at + BLOCK_BYTES, at + PAIR_BYTES),
      ],
    };
  });
}

/** For each case: puts its pair in place, runs the script, keeps what is there then. */
function driverOf(count: number): string {
  const hex = (bytes: number) => `0x${(bytes / SECTOR).toString(16)}`;
  const [at0, at1] = BLOCK_OFFSETS.map(hex);
  const block = hex(BLOCK_BYTES);
  const lines = ["setenv devtype virtio", "setenv devnum 0", "virtio dev 0"];
  for (let index = 0; index < count; index += 1) {
    const from = CASES_AT + index * PAIR_BYTES;
    const to = CASES_AT + (count + index) * PAIR_BYTES;
    lines.push(
      `echo CASE ${index}`,
      `virtio read 0x48000000 ${hex(from)} ${hex(PAIR_BYTES)}`,
      `virtio write 0x48000000 ${at0} ${block}`,
      `virtio write 0x48002000 ${at1} ${block}`,
      "source 0x52000000",
      `virtio read 0x48000000 ${at0} ${block}`,
      `virtio read 0x48002000 ${at1} ${block}`,
      `virtio write 0x48000000 ${hex(to)} ${hex(PAIR_BYTES)}`,
    );
  }
  lines.push("poweroff");
  return `${lines.join("\n")}\n`;
}

function compiled(path: string, text: string): string {
  const source = `${path}.cmd`;
  const script = `${path}.scr`;
  writeFileSync(source, text);
  execFileSync("mkimage", [
    "-q",
    "-A",
    "arm64",
    "-T",
    "script",
    "-C",
    "none",
    "-d",
    source,
    script,
  ]);
  return script;
}

/** Runs U-Boot until it powers off; resolves with all it has said. */
async function uBoot(disk: string, driver: string, choice: string): Promise<string> {
  const qemu = spawn(
    "qemu-system-aarch64",
    [
      ...["-M", "virt", "-cpu", "cortex-a72", "-m", "512", "-display", "none", "-nodefaults"],
      ...["-bios", UBOOT, "-serial", "stdio", "-monitor", "none"],
      ...["-drive", `if=none,id=d,file=${disk},format=raw,cache=unsafe`],
      ...["-device", "virtio-blk-pci,drive=d"],
      ...["-device", `loader,file=${driver},addr=0x50000000,force-raw=on`],
      ...["-device", `loader,file=${choice},addr=0x52000000,force-raw=on`],
    ],
    { stdio: ["pipe", "pipe", "inherit"], timeout: 170_000, killSignal: "SIGKILL" },
  );
  let text = "";
  let isAsked = false;
  qemu.stdout.setEncoding("utf8").on("data", (more: string) => {
    text += more;
    if (isAsked || !text.includes("Hit any key")) return;
    isAsked = true;
    qemu.stdin.write("\nsource 0x50000000\n");
  });
  await once(qemu, "close");
  return text;
}
