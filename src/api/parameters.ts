import { GatewayError } from "../errors/index.ts";
import { excerpt, type JsonObject, member } from "./json.ts";

/** What a parameter may be. */
export interface Kind<T> {
  readonly expected: string;
  is(value: unknown): value is T;
}

export const text: Kind<string> = {
  expected: "text",
  is: (value) => typeof value === "string",
};

export const flag: Kind<boolean> = {
  expected: "true or false",
  is: (value) => typeof value === "boolean",
};

export const integer: Kind<number> = {
  expected: "an integer",
  is: (value): value is number => Number.isSafeInteger(value),
};

export const object: Kind<JsonObject> = {
  expected: "an object",
  is: (value): value is JsonObject =>
    typeof value === "object" && value !== null && !Array.isArray(value),
};

export const list: Kind<readonly unknown[]> = {
  expected: "a list",
  is: (value): value is readonly unknown[] => Array.isArray(value),
};

export function oneOf<const T extends string>(words: readonly T[]): Kind<T> {
  return {
    expected: `one of ${words.join(", ")}`,
    is: (value): value is T => words.some((word) => word === value),
  };
}

/** @throws GatewayError PARAMETER_MISSING, PARAMETER_INVALID */
export function required<T>(from: JsonObject, name: string, kind: Kind<T>): T {
  const value = optional(from, name, kind);
  if (value === undefined) {
    throw new GatewayError("PARAMETER_MISSING", { field: name, expected: kind.expected });
  }
  return value;
}

/** @throws GatewayError PARAMETER_INVALID */
export function optional<T>(from: JsonObject, name: string, kind: Kind<T>): T | undefined {
  const value = member(from, name);
  if (value === undefined || kind.is(value)) return value;
  throw invalid(name, value, kind.expected);
}

export function invalid(field: string, value: unknown, expected: string) {
  return new GatewayError("PARAMETER_INVALID", { field, value: excerpt(value), expected });
}
