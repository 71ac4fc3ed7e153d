import { GatewayError } from "../errors/index.ts";
import type { Fault } from "./format.ts";
import { KEYS, nearest } from "./keys.ts";

/** The most faults one report names; a file with more is not read to the end by anybody. */
const MAX_REPORTED = 100;

/** A fault as an error that names key, value, what was expected, and where the value stands. */
export function faultError(fault: Fault, source: string): GatewayError {
  const { key, value, expected } = fault;
  return fault.kind === "key"
    ? new GatewayError("CONFIG_KEY_UNKNOWN", { key, value, source, hint: hintFor(fault) })
    : new GatewayError("CONFIG_VALUE_INVALID", { key, value, source, expected });
}

/** The errors for all faults of one source, the first hundred of them. */
export function faultErrors(faults: readonly Fault[], source: string): GatewayError[] {
  return faults.slice(0, MAX_REPORTED).map((fault) => faultError(fault, source));
}

/** Throws the first of `errors`, with the others as its cause; returns when there is none. */
export function throwFirst(errors: readonly GatewayError[]): void {
  const [first, ...others] = errors;
  if (first === undefined) return;
  if (others.length === 0) throw first;
  throw new GatewayError(first.code, first.details, { cause: new AggregateError(others) });
}

/** Every configuration error that `err`, thrown by `loadConfig`, stands for: itself, then the others. */
export function configErrors(err: GatewayError): readonly GatewayError[] {
  const others: readonly unknown[] = err.cause instanceof AggregateError ? err.cause.errors : [];
  return [err, ...others.filter((other) => other instanceof GatewayError)];
}

function hintFor(fault: Fault): string {
  const known = fault.known ?? [];
  if (known.length === 0) return `expected ${fault.expected}`;
  const parent = fault.key.slice(0, fault.key.lastIndexOf(".") + 1);
  const name = fault.key.slice(parent.length);
  const sibling = nearest(name, known);
  if (sibling !== null) return `did you mean ${parent}${sibling}?`;
  const namesake = KEYS.find((entry) => entry.path.at(-1) === name);
  if (namesake !== undefined) return `did you mean ${namesake.key}?`;
  return `expected ${fault.expected}`;
}
