/** Why a request has no answer. */
export type FaultKind = "timeout" | "exception" | "garbled" | "line";

/** Exception codes in words (MODBUS Application Protocol 1.1b3 §7). */
const EXCEPTIONS: ReadonlyMap<number, string> = new Map([
  [1, "illegal function"],
  [2, "illegal data address"],
  [3, "illegal data value"],
  [4, "server device failure"],
  [5, "acknowledge: the answer takes long"],
  [6, "server device busy"],
  [8, "memory parity error"],
  [10, "gateway path unavailable"],
  [11, "gateway target device failed to respond"],
]);

/** A request that was not answered as it should. */
export class ModbusFault extends Error {
  readonly kind: FaultKind;

  constructor(kind: FaultKind, reason: string) {
    super(reason);
    this.name = "ModbusFault";
    this.kind = kind;
  }
}

/** The fault an exception response tells. */
export function exceptionFault(code: number): ModbusFault {
  const words = EXCEPTIONS.get(code) ?? "unknown exception";
  return new ModbusFault("exception", `exception ${code}: ${words}`);
}
