/** What of a property's schema matters for reading its text. */
interface Readable {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly items?: Readable;
  readonly properties?: Readonly<Record<string, Readable>>;
}

/**
 * Query or path parameters as their object schema wants them: numbers and booleans are read, of a
 * repeated scalar the last counts, a list takes every repetition, unknown names are left out. What
 * cannot be read stays text, and the schema refuses it.
 */
export function readParameters(schema: unknown, raw: unknown): Record<string, unknown> {
  const values: Record<string, unknown> = Object.create(null);
  const given = (raw ?? {}) as Readonly<Record<string, unknown>>;
  for (const [name, property] of Object.entries((schema as Readable).properties ?? {})) {
    if (!Object.hasOwn(given, name)) continue;
    const value = given[name];
    const texts = (Array.isArray(value) ? value : [value]).map(String);
    values[name] = typesOf(property).includes("array")
      ? texts.map((text) => read(property.items ?? {}, text))
      : read(property, texts.at(-1) ?? "");
  }
  return values;
}

function read(schema: Readable, text: string): unknown {
  const types = typesOf(schema);
  if (types.includes("string")) return text;
  const isNumber = types.includes("integer") || types.includes("number");
  if (isNumber && /^-?\d{1,20}(\.\d{1,20})?$/.test(text)) return Number(text);
  if (types.includes("boolean") && (text === "true" || text === "false")) return text === "true";
  return text;
}

function typesOf({ type, enum: words }: Readable): readonly string[] {
  if (type !== undefined) return typeof type === "string" ? [type] : type;
  return (words ?? []).map((word) => typeof word);
}
