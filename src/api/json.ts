/** A JSON object as it came in: members are to be checked one by one. */
export type JsonObject = Readonly<Record<string, unknown>>;

const UTF8 = { fatal: true } as const;

/**
 * Reads JSON text (RFC 8259), a byte order mark and surrounding white space tolerated; undefined when
 * it is not legal JSON in UTF-8.
 */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", UTF8).decode(bytes));
    return value;
  } catch {
    return undefined;
  }
}

/** Reads a JSON object; null for everything else. */
export function parseJsonObject(bytes: Uint8Array): JsonObject | null {
  const value = parseJson(bytes);
  return isJsonObject(value) ? value : null;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A member the object itself holds, not one it inherits. */
export function member(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

/** A value fit for an error message: short, and never a deep structure. */
export function excerpt(value: unknown): unknown {
  if (typeof value === "string") return value.length > 100 ? `${value.slice(0, 100)}…` : value;
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" && value !== null ? "an object" : value;
}
