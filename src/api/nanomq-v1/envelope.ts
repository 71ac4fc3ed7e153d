import { RESULT } from "../errors.ts";
import { type JsonObject, member, parseJsonObject } from "../json.ts";

/** The request object around every request (reference §1.2), as far as it could be read. */
export interface Envelope {
  /** Null when the body is no JSON object. */
  readonly members: JsonObject | null;
  /** The number to echo: 0 where there is none that could be echoed exactly. */
  readonly seq: number;
  /** The request code to echo: only a positive integer is. */
  readonly rep: number | null;
  /** The request code, 0 unless `fault` is null. */
  readonly req: number;
  /** Result code for what is wrong with the envelope itself; null when it is well-formed. */
  readonly fault: number | null;
}

export function readEnvelope(body: Uint8Array): Envelope {
  const members = parseJsonObject(body);
  if (members === null) return { members, seq: 0, rep: null, req: 0, fault: RESULT.notJson };
  const req = readInteger(members, "req");
  const seq = readInteger(members, "seq");
  const fault = req.fault ?? seq.fault;
  return {
    members,
    seq: seq.value,
    rep: req.value > 0 ? req.value : null,
    req: req.value,
    fault,
  };
}

/** The answer, its members in the documented order. */
export function writeAnswer(
  code: number,
  { seq, rep }: Pick<Envelope, "seq" | "rep">,
  more: JsonObject = {},
): JsonObject {
  return { code, seq, ...(rep === null ? {} : { rep }), ...more };
}

/** Only integers that JSON and JavaScript hold exactly are taken (reference §1.3). */
function readInteger(members: JsonObject, name: string): { value: number; fault: number | null } {
  const value = member(members, name);
  if (value === undefined) return { value: 0, fault: RESULT.missing };
  if (typeof value !== "number" || !Number.isSafeInteger(value)) {
    return { value: 0, fault: RESULT.invalid };
  }
  return { value, fault: null };
}
