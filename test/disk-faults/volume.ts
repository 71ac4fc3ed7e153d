import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Random } from "./random.ts";
import type { DiskOperation } from "./recording.ts";

/** The unit a disk writes whole or not at all. */
const SECTOR_BYTES = 512;

/**
 * What happens at a power cut to data that no fsync has made durable: none of it is there, all of
 * it, what was written up to some moment (the last write perhaps in part), or of each sector what it
 * held at a moment of its own.
 */
export const DATA_MODES = ["dropped", "kept", "torn", "reordered"] as const;

export type DataMode = (typeof DATA_MODES)[number];

/**
 * What happens to names that no fsync of their directory has made durable. `journal`: they were made
 * in order up to some moment, and fsync of a file covers everything up to its own name, as on ext4.
 * `loose`: each is old or new by itself, but fsync of a file covers its own name and those of the
 * directories above it. `posix`: each is old or new by itself, and only fsync of the directory counts.
 */
export const NAME_MODES = ["journal", "loose", "posix"] as const;

export type NameMode = (typeof NAME_MODES)[number];

/** Content of the files and directories left by a power cut, by path; null = a directory. */
export type Image = ReadonlyMap<string, Buffer | null>;

interface Change {
  readonly seq: number;
  /** Null: the file gets the size `offset`. */
  readonly data: Buffer | null;
  readonly offset: number;
}

/** A file or directory, whatever it is called. */
class Node {
  readonly isDirectory: boolean;
  /** What is on the disk for certain; the array behind it has room for more. */
  durable: Buffer = Buffer.alloc(0);
  /** Changes that may be on the disk, in order. */
  changes: Change[] = [];
  /** The newest change of a name that led to this file. */
  namedSeq = 0;

  constructor(isDirectory: boolean) {
    this.isDirectory = isDirectory;
  }
}

/** Names that change together: a directory, a name in it, what it stands for. */
interface Naming {
  readonly seq: number;
  readonly entries: readonly {
    readonly directory: Node;
    readonly name: string;
    readonly node: Node | null;
  }[];
}

type Tree = Map<Node, Map<string, Node>>;

/**
 * A disk that is told what programs do to it, and can say at any moment what a power cut would
 * leave. A write is durable once an fsync of its file that began later has ended.
 */
export class Volume {
  readonly #root = new Node(true);
  /** As programs see it. */
  readonly #now: Tree = new Map([[this.#root, new Map()]]);
  /** As it is on the disk for certain, by the model with that name. */
  readonly #durable: Record<NameMode, Tree> = {
    journal: new Map(),
    loose: new Map(),
    posix: new Map(),
  };
  readonly #pending: Record<NameMode, Naming[]> = { journal: [], loose: [], posix: [] };
  readonly #open = new Map<string, Node>();
  readonly #syncing = new Map<string, number>();
  #seq = 0;

  /** @param before what is on the disk already, for certain; directories before what is in them */
  constructor(before: Image = new Map()) {
    for (const [path, content] of before) {
      const node = this.#made(content === null);
      if (content !== null) node.durable = content;
      this.#name([{ path, node }]);
    }
    for (const mode of NAME_MODES) this.#settle(mode, () => true);
  }

  apply(operation: DiskOperation): void {
    this.#seq++;
    switch (operation.kind) {
      case "open":
        this.#opened(operation);
        break;
      case "write":
        this.#change(operation.file, operation.data, operation.offset);
        break;
      case "truncate":
        this.#change(operation.file, null, operation.size);
        break;
      case "sync-begin":
        this.#syncing.set(operation.file, this.#seq);
        break;
      case "sync-end":
        this.#synced(operation.file);
        break;
      case "mkdir":
        this.#name([{ path: operation.path, node: this.#made(true) }]);
        break;
      case "link":
        this.#name([{ path: operation.to, node: this.#at(operation.from) }]);
        break;
      case "rename":
        this.#name([
          { path: operation.from, node: null },
          { path: operation.to, node: this.#at(operation.from) },
        ]);
        break;
      case "unlink":
      case "rmdir":
        this.#name([{ path: operation.path, node: null }]);
        break;
    }
  }

  /** Everything as programs see it now. An image is good until the next operation. */
  image(): Image {
    return collect(this.#root, this.#now, (node) => contentAfter(node, node.changes.length));
  }

  /** What a power cut now may leave. */
  imageAfterCut(names: NameMode, data: DataMode, random: Random): Image {
    const tree = copyOf(this.#durable[names]);
    for (const naming of chosen(this.#pending[names], names, random)) enter(tree, naming);
    const contents = new Map<Node, Buffer>();
    return collect(this.#root, tree, (node) => {
      const content = contents.get(node) ?? contentAfterCut(node, data, random);
      contents.set(node, content);
      return content;
    });
  }

  #opened(operation: Extract<DiskOperation, { kind: "open" }>): void {
    let node = this.#find(operation.path);
    if (node === undefined) {
      if (!operation.isCreating) throw new Error(`${operation.path} was opened and never made`);
      node = this.#made(false);
      this.#name([{ path: operation.path, node }]);
    } else if (operation.isTruncating) {
      node.changes.push({ seq: this.#seq, data: null, offset: 0 });
    }
    this.#open.set(operation.file, node);
  }

  #change(file: string, data: Buffer | null, offset: number): void {
    this.#opener(file).changes.push({ seq: this.#seq, data, offset });
  }

  #synced(file: string): void {
    const node = this.#opener(file);
    const begunSeq = this.#syncing.get(file) ?? 0;
    const count = node.changes.filter(({ seq }) => seq < begunSeq).length;
    for (const change of node.changes.splice(0, count))
      node.durable = changed(node.durable, change);
    const named = new Set([node, ...this.#above(node)]);
    const isOf = (naming: Naming, by: (entry: Naming["entries"][number]) => boolean) =>
      naming.seq < begunSeq && naming.entries.some(by);
    for (const mode of NAME_MODES) {
      this.#settle(mode, (naming) =>
        node.isDirectory
          ? isOf(naming, ({ directory }) => directory === node)
          : mode === "loose" && isOf(naming, (e) => e.node !== null && named.has(e.node)),
      );
    }
    // What precedes the newest name of the file is in the journal before it.
    const upTo = node.isDirectory
      ? Math.max(
          0,
          ...this.#pending.journal
            .filter((n) => isOf(n, (e) => e.directory === node))
            .map((n) => n.seq),
        )
      : Math.min(node.namedSeq, begunSeq - 1);
    this.#settle("journal", ({ seq }) => seq <= upTo);
  }

  /** The directories a file stands in, and those above them. */
  #above(node: Node): Node[] {
    for (const [directory, names] of this.#now) {
      for (const each of names.values()) {
        if (each === node) return [directory, ...this.#above(directory)];
      }
    }
    return [];
  }

  /** Makes pending names durable, with those before them that concern the same names. */
  #settle(mode: NameMode, isDurable: (naming: Naming) => boolean): void {
    const pending = this.#pending[mode];
    if (pending.length === 0) return;
    const wanted = new Set(pending.filter(isDurable));
    if (wanted.size === 0) return;
    const all = withDependencies(pending, wanted);
    for (const naming of pending) if (all.has(naming)) enter(this.#durable[mode], naming);
    this.#pending[mode] = pending.filter((naming) => !all.has(naming));
  }

  #made(isDirectory: boolean): Node {
    const node = new Node(isDirectory);
    if (isDirectory) this.#now.set(node, new Map());
    return node;
  }

  #name(changes: readonly { readonly path: string; readonly node: Node | null }[]): void {
    const entries = changes.map(({ path, node }) => {
      const above = dirname(path);
      const directory = this.#at(above === "." ? "" : above);
      if (node !== null) node.namedSeq = this.#seq;
      return { directory, name: path.slice(path.lastIndexOf("/") + 1), node };
    });
    const naming = { seq: this.#seq, entries };
    enter(this.#now, naming);
    for (const mode of NAME_MODES) this.#pending[mode].push(naming);
  }

  #opener(file: string): Node {
    const node = this.#open.get(file);
    if (node === undefined) throw new Error(`file ${file} was used before it was opened`);
    return node;
  }

  #at(path: string): Node {
    const node = this.#find(path);
    if (node === undefined) throw new Error(`${path} is not there`);
    return node;
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const name of path === "" ? [] : path.split("/")) {
      node = node === undefined ? undefined : this.#now.get(node)?.get(name);
    }
    return node;
  }
}

/** Writes an image into an empty folder. */
export function writeImage(image: Image, folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const [path, content] of image) {
    if (content === null) mkdirSync(join(folder, path), { mode: 0o700 });
    else writeFileSync(join(folder, path), content, { mode: 0o600 });
  }
}

function copyOf(tree: Tree): Tree {
  return new Map([...tree].map(([node, names]) => [node, new Map(names)]));
}

function enter(tree: Tree, { entries }: Naming): void {
  for (const { directory, name, node } of entries) {
    const names = tree.get(directory) ?? new Map<string, Node>();
    tree.set(directory, names);
    if (node === null) names.delete(name);
    else names.set(name, node);
  }
}

/** Which of the pending names a cut leaves, in order. */
function chosen(pending: readonly Naming[], mode: NameMode, random: Random): readonly Naming[] {
  if (mode === "journal") return pending.slice(0, random.below(pending.length + 1));
  const share = random.next();
  const wanted = new Set(pending.filter(() => random.chance(share)));
  const all = withDependencies(pending, wanted);
  return pending.filter((naming) => all.has(naming));
}

/** Adds the earlier changes of the same names: a name's history has no gaps. */
function withDependencies(pending: readonly Naming[], wanted: ReadonlySet<Naming>): Set<Naming> {
  const all = new Set<Naming>();
  const needed = new Map<Node, Set<string>>();
  for (const naming of [...pending].reverse()) {
    const isNeeded = naming.entries.some((e) => needed.get(e.directory)?.has(e.name));
    if (!wanted.has(naming) && !isNeeded) continue;
    all.add(naming);
    for (const { directory, name } of naming.entries) {
      needed.set(directory, (needed.get(directory) ?? new Set()).add(name));
    }
  }
  return all;
}

function collect(root: Node, tree: Tree, contentOf: (node: Node) => Buffer): Image {
  const image = new Map<string, Buffer | null>();
  const walk = (directory: Node, prefix: string) => {
    for (const [name, node] of tree.get(directory) ?? []) {
      image.set(prefix + name, node.isDirectory ? null : contentOf(node));
      if (node.isDirectory) walk(node, `${prefix}${name}/`);
    }
  };
  walk(root, "");
  return image;
}

/** The content with the first `count` pending changes. */
function contentAfter({ durable, changes }: Node, count: number): Buffer {
  if (count === 0) return durable;
  let content: Buffer = Buffer.from(durable);
  for (const change of changes.slice(0, count)) content = changed(content, change);
  return content;
}

/** The content after a change, in the same memory where that has room for it. */
function changed(content: Buffer, { data, offset }: Change): Buffer {
  const { length } = content;
  const size = data === null ? offset : Math.max(length, offset + data.length);
  const room = content.buffer.byteLength - content.byteOffset;
  let next: Buffer;
  if (size <= room && content.byteOffset === 0) {
    next = Buffer.from(content.buffer, 0, size);
  } else {
    next = Buffer.from(new ArrayBuffer(size * 2), 0, size);
    content.copy(next);
  }
  if (size > length) next.fill(0, length);
  data?.copy(next, offset);
  return next;
}

function contentAfterCut(node: Node, mode: DataMode, random: Random): Buffer {
  const { changes } = node;
  if (changes.length === 0) return node.durable;
  switch (mode) {
    case "dropped":
      return node.durable;
    case "kept":
      return contentAfter(node, changes.length);
    case "torn": {
      const count = random.below(changes.length);
      const before = contentAfter(node, count);
      const after = contentAfter(node, count + 1);
      return sectorwise(after.length, (from, to) =>
        (random.chance(0.5) ? after : before).subarray(from, to),
      );
    }
    case "reordered": {
      const states = momentsOf(changes, random).map((count) => contentAfter(node, count));
      return sectorwise(random.pick(states).length, (from, to) =>
        random.pick(states).subarray(from, to),
      );
    }
  }
}

/**
 * A few moments in the history of a file, none before and none after the same truncation: that one
 * happens to the whole file at once.
 */
function momentsOf(changes: readonly Change[], random: Random): readonly number[] {
  const starts = [0, ...changes.flatMap(({ data }, index) => (data === null ? [index + 1] : []))];
  const period = random.below(starts.length);
  const first = starts[period] ?? 0;
  const next = starts[period + 1];
  const last = next === undefined ? changes.length : next - 1;
  return Array.from({ length: 4 }, () => first + random.below(last - first + 1));
}

/** A file whose sectors come from different states of it; what a state does not have is zero. */
function sectorwise(size: number, sectorOf: (from: number, to: number) => Buffer): Buffer {
  const content = Buffer.alloc(size);
  for (let from = 0; from < size; from += SECTOR_BYTES) {
    sectorOf(from, Math.min(size, from + SECTOR_BYTES)).copy(content, from);
  }
  return content;
}
