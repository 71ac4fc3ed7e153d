import { Readable } from "node:stream";
import { Zip, ZipDeflate } from "fflate";

/** Reads up to `bytes` bytes from `position` on; null when it is gone. */
type ReadPart = (
  position: number,
  bytes: number,
) => Promise<{ readonly text: string; readonly position: number } | null>;

/** Compressed at once: a few ms of the event loop. */
const CHUNK_BYTES = 65_536;

/** A zip archive with one file, made while it is sent. */
export function zipOf(name: string, read: ReadPart): Readable {
  return Readable.from(chunks(name, read));
}

async function* chunks(name: string, read: ReadPart): AsyncGenerator<Uint8Array> {
  let ready: Uint8Array[] = [];
  const failures: Error[] = [];
  const zip = new Zip((err, chunk) => {
    if (err !== null) failures.push(err);
    else ready.push(chunk);
  });
  const entry = new ZipDeflate(name, { level: 6 });
  zip.add(entry);
  for (let position = 0, isLast = false; !isLast; ) {
    const part = await read(position, CHUNK_BYTES);
    isLast = part === null || part.text === "";
    entry.push(Buffer.from(part?.text ?? ""), isLast);
    if (isLast) zip.end();
    const [failure] = failures;
    if (failure !== undefined) throw failure;
    position = part?.position ?? position;
    yield* ready;
    ready = [];
  }
}
