import type { DurableFiles } from "./durable-files.ts";

/** `DurableFiles` that count what they cost the disk. */
export interface CountedFiles extends DurableFiles {
  /** Bytes of contents, and waits for the disk: files and the directories that name them. */
  writes(): { readonly bytes: number; readonly fsyncs: number };
}

/** Counts the operations that succeed. */
export function countedFiles(inner: DurableFiles): CountedFiles {
  let bytes = 0;
  let fsyncs = 0;
  const counted = async (operation: Promise<void>, cost: { bytes: number; fsyncs: number }) => {
    await operation;
    bytes += cost.bytes;
    fsyncs += cost.fsyncs;
  };
  const named = { bytes: 0, fsyncs: 1 };
  return {
    write: (path, content) =>
      counted(inner.write(path, content), { bytes: Buffer.byteLength(content), fsyncs: 2 }),
    keep: (path, as) => counted(inner.keep(path, as), named),
    rename: (from, to) => counted(inner.rename(from, to), named),
    remove: (path) => counted(inner.remove(path), named),
    makeDirectory: (path) => inner.makeDirectory(path),
    writes: () => ({ bytes, fsyncs }),
  };
}
