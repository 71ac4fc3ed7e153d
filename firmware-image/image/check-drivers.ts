/**
 * Checks that what each board needs has its drivers: what the memory card hangs on in the initrd, and
 * network, USB and screen in the root. A driver that is missing shows only on the board, and nothing
 * of the kernel's own says what else a device waits for: clocks, supplies, pins.
 *
 * Usage: node firmware-image/image/check-drivers.ts --trees FOLDER --aliases FILE --initrd FILE
 *          --modules FOLDER [--boards 3,4,5]
 *
 *   --trees    device trees of the boards
 *   --aliases  modules.alias of the whole kernel, as depmod writes it
 *   --initrd   names of the modules the initrd loads, one a line
 *   --modules  folder with the modules of the root, usr/lib/modules/RELEASE
 *   --boards   default: 3,4
 *
 * Exit code 1 and a line for each driver that is missing.
 */

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { cellsOf, isEnabled, parseDeviceTree, type TreeNode, textsOf } from "./device-tree.ts";

interface BoardTree {
  readonly tree: string;
  /** The host that the memory card is in. */
  readonly card: (node: TreeNode) => boolean;
}

const withCompatible = (name: string) => (node: TreeNode) =>
  textsOf(node, "compatible").includes(name);
/** Of its two hosts of the same kind one has the radio soldered to it. */
const cardOfPi5 = (node: TreeNode) =>
  withCompatible("brcm,bcm2712-sdhci")(node) && !node.properties.has("non-removable");

const SDHOST = withCompatible("brcm,bcm2835-sdhost");
const EMMC2 = withCompatible("brcm,bcm2711-emmc2");

export const BOARD_TREES: Readonly<Record<string, readonly BoardTree[]>> = {
  3: [
    { tree: "bcm2837-rpi-3-b", card: SDHOST },
    { tree: "bcm2837-rpi-3-b-plus", card: SDHOST },
    { tree: "bcm2837-rpi-3-a-plus", card: SDHOST },
    { tree: "bcm2837-rpi-zero-2-w", card: SDHOST },
  ],
  4: [
    { tree: "bcm2711-rpi-4-b", card: EMMC2 },
    { tree: "bcm2711-rpi-400", card: EMMC2 },
    { tree: "bcm2711-rpi-cm4-io", card: EMMC2 },
  ],
  5: [
    { tree: "bcm2712-rpi-5-b", card: cardOfPi5 },
    { tree: "bcm2712-d-rpi-5-b", card: cardOfPi5 },
  ],
};

/** What a gateway uses of a board besides its card. */
const USED = /^(ethernet|usb|pcie|wifi|watchdog|rng|hdmi|mmc|mmcnr|thermal)@/;

/** Properties that name other devices, and what tells how many numbers follow each. */
const REFERENCES: readonly (readonly [RegExp, string | null])[] = [
  [/^clocks$/, "#clock-cells"],
  [/^resets$/, "#reset-cells"],
  [/^power-domains$/, "#power-domain-cells"],
  [/^dmas$/, "#dma-cells"],
  [/^mboxes$/, "#mbox-cells"],
  [/^phys$/, "#phy-cells"],
  [/^pwms$/, "#pwm-cells"],
  [/^interrupts-extended$/, "#interrupt-cells"],
  [/(^|-)gpios?$/, "#gpio-cells"],
  [/-supply$/, null],
  [/^pinctrl-\d+$/, null],
  [/^(interrupt-parent|msi-parent|phy-handle|firmware|mmc-pwrseq)$/, null],
];

/** The devices a device waits for, itself among them: what it names, and what it is behind. */
function suppliersOf(device: TreeNode, nodes: readonly TreeNode[]): TreeNode[] {
  const byHandle = new Map(nodes.map((node) => [cellsOf(node, "phandle")[0], node]));
  const found = new Set<TreeNode>();
  const waiting: TreeNode[] = [device];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    const owner = deviceOf(node);
    if (owner === null || found.has(owner)) continue;
    found.add(owner);
    // The settings of pins are below their controller, and name nothing themselves.
    waiting.push(...referencesOf(owner, byHandle));
    if (owner.parent !== null) waiting.push(owner.parent);
  }
  return [...found];
}

/** A node, or what it is a part of: the nearest that says what it is. The root is no device. */
function deviceOf(node: TreeNode): TreeNode | null {
  let owner: TreeNode | null = node;
  while (owner !== null && !owner.properties.has("compatible")) owner = owner.parent;
  return owner?.parent == null ? null : owner;
}

function referencesOf(
  node: TreeNode,
  byHandle: ReadonlyMap<number | undefined, TreeNode>,
): TreeNode[] {
  const found: TreeNode[] = [];
  for (const name of node.properties.keys()) {
    const reference = REFERENCES.find(([pattern]) => pattern.test(name));
    if (reference === undefined) continue;
    const cells = cellsOf(node, name);
    for (let at = 0; at < cells.length; at += 1) {
      const target = byHandle.get(cells[at]);
      if (target === undefined) continue;
      found.push(target);
      if (reference[1] !== null) at += cellsOf(target, reference[1])[0] ?? 0;
    }
  }
  return found;
}

/** Which modules drive a device, by `modules.alias`; empty for what is built in, or unknown. */
export type Drivers = (node: TreeNode) => readonly string[];

export function driversFrom(aliases: string): Drivers {
  const byCompatible = new Map<string, string[]>();
  for (const line of aliases.split("\n")) {
    const match = /^alias of:N\*T\*C(\S+?)(?:C\*)? (\S+)$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) continue;
    const modules = byCompatible.get(match[1]) ?? [];
    if (!modules.includes(match[2])) modules.push(match[2]);
    byCompatible.set(match[1], modules);
  }
  return (node) => textsOf(node, "compatible").flatMap((name) => byCompatible.get(name) ?? []);
}

/** Modules are named with `-` in files and with `_` in the kernel. */
export function moduleName(file: string): string {
  return path
    .basename(file)
    .replace(/\.ko(\.xz)?$/, "")
    .replaceAll("-", "_");
}

export interface Present {
  readonly initrd: ReadonlySet<string>;
  readonly root: ReadonlySet<string>;
}

/** What a board would miss, a line each. */
export function missingDrivers(
  { tree, card }: BoardTree,
  nodes: readonly TreeNode[],
  drivers: Drivers,
  present: Present,
): string[] {
  const found = new Set<string>();
  const check = (device: TreeNode, where: keyof Present) => {
    for (const supplier of suppliersOf(device, nodes)) {
      const modules = drivers(supplier);
      if (modules.length > 0 && !modules.some((name) => present[where].has(name))) {
        found.add(`${tree}: ${supplier.path} needs ${modules.join(" or ")} in the ${where}`);
      }
    }
  };
  const cards = nodes.filter((node) => card(node) && isEnabled(node));
  if (cards.length === 0) found.add(`${tree}: there is no host for the card`);
  for (const device of cards) check(device, "initrd");
  const isUsed = (node: TreeNode) => USED.test(path.posix.basename(node.path)) && isEnabled(node);
  for (const device of nodes.filter(isUsed)) check(device, "root");
  return [...found];
}

function main(): void {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: { trees: text, aliases: text, initrd: text, modules: text, boards: text },
  });
  const { trees, aliases, initrd, modules, boards = "3,4" } = values;
  if (!(trees && aliases && initrd && modules)) {
    throw new Error("four options are needed, see the head of this file");
  }
  const drivers = driversFrom(readFileSync(aliases, "utf8"));
  const present: Present = {
    initrd: new Set(readFileSync(initrd, "utf8").trim().split("\n").map(moduleName)),
    root: new Set(readdirSync(modules, { recursive: true, encoding: "utf8" }).map(moduleName)),
  };
  const missing = boards
    .split(",")
    .flatMap((board) => BOARD_TREES[board] ?? [])
    .flatMap((board) => {
      const nodes = parseDeviceTree(readFileSync(path.join(trees, `${board.tree}.dtb`)));
      return missingDrivers(board, nodes, drivers, present);
    });
  for (const line of missing) process.stderr.write(`${line}\n`);
  if (missing.length > 0) process.exitCode = 1;
}

if (import.meta.main) main();
