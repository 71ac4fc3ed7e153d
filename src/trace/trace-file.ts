import { appendFile, open, rm, stat } from "node:fs/promises";
import { reasonOf } from "../errors/index.ts";

/** Lines in memory until the next write; more than this are left out. */
const MAX_BUFFERED_BYTES = 262_144;

/** What a trace wrote, bounded in size; it is written by batches, so that a card is spared. */
export class TraceFile {
  readonly path: string;
  sizeBytes = 0;
  /** Wall clock of the newest line, ms; of the file's making while there is none. */
  changedAtMs: number;
  /** Nothing more is written: the file is full, or could not be written. */
  isClosed = false;
  /** Why the last write failed, null when it did not. */
  failure: string | null = null;
  readonly #maxBytes: number;
  #lines: string[] = [];
  #bufferedBytes = 0;
  #leftOut = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(path: string, maxBytes: number, nowMs: number) {
    this.changedAtMs = nowMs;
    this.path = path;
    this.#maxBytes = maxBytes;
  }

  /** Takes the size of what an earlier run wrote. */
  async resume(): Promise<void> {
    try {
      const { size, mtimeMs } = await stat(this.path);
      this.sizeBytes = size;
      this.changedAtMs = mtimeMs;
    } catch {
      // Nothing was written yet.
      this.sizeBytes = 0;
    }
    this.isClosed = this.sizeBytes >= this.#maxBytes;
  }

  add(line: string, nowMs: number): void {
    if (this.isClosed) return;
    this.changedAtMs = nowMs;
    const bytes = Buffer.byteLength(line);
    if (this.sizeBytes + bytes > this.#maxBytes) {
      this.#push("the file has its full size, the trace ends\n");
      this.isClosed = true;
      return;
    }
    if (this.#bufferedBytes + bytes > MAX_BUFFERED_BYTES) {
      this.#leftOut++;
      return;
    }
    this.#push(line);
  }

  /** Writes what is in memory; resolves when it is in the file. */
  flush(): Promise<void> {
    if (this.#leftOut > 0) {
      const count = this.#leftOut;
      this.#leftOut = 0;
      this.#push(`${count} lines were left out, too many at once\n`);
    }
    if (this.#lines.length === 0) return this.#writing;
    const text = this.#lines.join("");
    this.#lines = [];
    this.#bufferedBytes = 0;
    this.#writing = this.#writing.then(() => this.#write(text));
    return this.#writing;
  }

  /** Up to `bytes` bytes from `position` on; whole characters. */
  async read(position: number, bytes: number): Promise<Buffer> {
    await this.flush();
    let file: Awaited<ReturnType<typeof open>>;
    try {
      file = await open(this.path, "r");
    } catch {
      // Nothing was written yet.
      return Buffer.alloc(0);
    }
    try {
      const { size } = await file.stat();
      const room = Math.max(0, Math.min(bytes, size - position));
      const { buffer, bytesRead } = await file.read(Buffer.alloc(room), 0, room, position);
      const read = buffer.subarray(0, bytesRead);
      return position + bytesRead < size ? wholeCharacters(read) : read;
    } finally {
      await file.close();
    }
  }

  async remove(): Promise<void> {
    this.isClosed = true;
    this.#lines = [];
    await this.#writing;
    await rm(this.path, { force: true });
    this.sizeBytes = 0;
  }

  #push(line: string): void {
    const bytes = Buffer.byteLength(line);
    this.#lines.push(line);
    this.#bufferedBytes += bytes;
    this.sizeBytes += bytes;
  }

  async #write(text: string): Promise<void> {
    try {
      await appendFile(this.path, text, { mode: 0o600 });
    } catch (err) {
      this.failure = reasonOf(err);
      this.isClosed = true;
    }
  }
}

/** Without the beginning of a character at its end; what is no UTF-8 stays as it is. */
function wholeCharacters(bytes: Buffer): Buffer {
  for (let back = 1; back <= 3 && back < bytes.length; back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? bytes.subarray(0, bytes.length - back) : bytes;
  }
  return bytes;
}
