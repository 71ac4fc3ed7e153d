import type { EngineParser, WirePacket } from "./engine.ts";
import { FrameScanner } from "./frame-scanner.ts";
import { faultOf } from "./packet-rules.ts";

/** What the guard of a connection asks and tells. */
export interface GuardHooks {
  /** Largest packet accepted at this moment. */
  maxPacketSizeBytes(): number;
  /** A packet in order, before aedes acts on it; false keeps it from aedes. */
  onPacket(packet: WirePacket): boolean;
  /** The connection must be closed. */
  onFault(reason: string): void;
}

/**
 * Puts our checks in front of aedes's decoder. aedes reads a socket by `parser.parse(chunk)` and
 * gathers a packet in memory until it is complete, whatever its announced length; so the length is
 * checked on the chunk. What the decoder throws would end the process; here it ends the connection.
 */
export function guard(parser: EngineParser, hooks: GuardHooks): void {
  const scanner = new FrameScanner();
  const parse = parser.parse.bind(parser);
  const handlers = parser.listeners("packet");
  let isRefused = false;

  function refuse(reason: string): void {
    if (isRefused) return;
    isRefused = true;
    hooks.onFault(reason);
  }

  parser.removeAllListeners("packet");
  parser.on("packet", (packet) => {
    if (isRefused) return;
    const fault = faultOf(packet);
    if (fault !== null) {
      refuse(fault);
      return;
    }
    if (hooks.onPacket(packet)) for (const handler of handlers) handler.call(parser, packet);
  });

  parser.parse = (chunk) => {
    if (isRefused) return 0;
    const fault = scanner.scan(chunk, hooks.maxPacketSizeBytes());
    if (fault !== null) {
      refuse(fault);
      return 0;
    }
    try {
      return parse(chunk);
    } catch (err) {
      refuse(err instanceof Error ? err.message : "packet cannot be decoded");
      return 0;
    }
  };
}
