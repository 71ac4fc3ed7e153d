/** The Remaining Length has at most four bytes (MQTT 5.0 §2.1.4, §1.5.5). */
const MAX_LENGTH_BYTES = 4;

/**
 * Follows the frames of one connection through its chunks and refuses one that announces too much
 * before any of it is kept. Cost is per frame, not per byte.
 */
export class FrameScanner {
  #lengthBytes = 0;
  #remaining = 0;
  #state: "type" | "length" | "body" = "type";

  /** What is wrong with the bytes that start in `chunk`, null when nothing is. */
  scan(chunk: Buffer, maxPacketSizeBytes: number): string | null {
    let at = 0;
    while (at < chunk.length) {
      switch (this.#state) {
        case "type":
          this.#state = "length";
          this.#lengthBytes = 0;
          this.#remaining = 0;
          at += 1;
          break;
        case "length": {
          const byte = chunk.readUInt8(at);
          at += 1;
          this.#remaining += (byte & 0x7f) * 128 ** this.#lengthBytes;
          this.#lengthBytes += 1;
          if (byte < 0x80) {
            if (1 + this.#lengthBytes + this.#remaining > maxPacketSizeBytes) {
              return "packet over the size limit";
            }
            this.#state = this.#remaining === 0 ? "type" : "body";
          } else if (this.#lengthBytes === MAX_LENGTH_BYTES) {
            return "malformed remaining length";
          }
          break;
        }
        case "body": {
          const taken = Math.min(this.#remaining, chunk.length - at);
          at += taken;
          this.#remaining -= taken;
          if (this.#remaining === 0) this.#state = "type";
          break;
        }
      }
    }
    return null;
  }
}
