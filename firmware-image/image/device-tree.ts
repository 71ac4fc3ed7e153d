/** Reads flattened device trees (Devicetree Specification 0.4, chapter 5), as far as checks need them. */

const MAGIC = 0xd00dfeed;
const [BEGIN_NODE, END_NODE, PROPERTY, NOP, END] = [1, 2, 3, 4, 9];

export interface TreeNode {
  /** From the root, `/soc/mmc@7e202000`. */
  readonly path: string;
  readonly parent: TreeNode | null;
  readonly properties: ReadonlyMap<string, Buffer>;
}

/** The texts of a property, of which there may be several. */
export function textsOf(node: TreeNode, property: string): string[] {
  const value = node.properties.get(property);
  return value === undefined ? [] : value.toString("latin1").replace(/\0$/, "").split("\0");
}

/** The 32-bit numbers of a property. */
export function cellsOf(node: TreeNode, property: string): number[] {
  const value = node.properties.get(property) ?? Buffer.alloc(0);
  return Array.from({ length: Math.floor(value.length / 4) }, (_, at) =>
    value.readUInt32BE(4 * at),
  );
}

/** A node that says nothing of its status is in use. */
export function isEnabled(node: TreeNode): boolean {
  return /^(|okay|ok)$/.test(textsOf(node, "status")[0] ?? "");
}

/**
 * All nodes of a tree, each after its parent.
 *
 * @throws Error when this is no device tree
 */
export function parseDeviceTree(blob: Buffer): TreeNode[] {
  if (blob.length < 40 || blob.readUInt32BE(0) !== MAGIC) throw new Error("this is no device tree");
  const names = blob.readUInt32BE(12);
  const nodes: TreeNode[] = [];
  let properties = new Map<string, Buffer>();
  const open: TreeNode[] = [];
  let at = blob.readUInt32BE(8);
  const text = (from: number) => blob.toString("latin1", from, blob.indexOf(0, from));
  for (;;) {
    const token = blob.readUInt32BE(at);
    at += 4;
    switch (token) {
      case BEGIN_NODE: {
        const name = text(at);
        at = aligned(at + name.length + 1);
        properties = new Map();
        const parent = open.at(-1) ?? null;
        const above = parent === null || parent.parent === null ? "" : parent.path;
        const node = { path: `${above}/${name}`, parent, properties };
        open.push(node);
        nodes.push(node);
        break;
      }
      case PROPERTY: {
        const size = blob.readUInt32BE(at);
        const name = text(names + blob.readUInt32BE(at + 4));
        properties.set(name, blob.subarray(at + 8, at + 8 + size));
        at = aligned(at + 8 + size);
        break;
      }
      case END_NODE:
        open.pop();
        break;
      case NOP:
        break;
      case END:
        return nodes;
      default:
        throw new Error(`token ${token} at ${at - 4} of the device tree`);
    }
  }
}

function aligned(at: number): number {
  return (at + 3) & ~3;
}
