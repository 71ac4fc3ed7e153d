import type { JSONSchema } from "../kit/index.ts";

/** Words of JSON Schema that OpenAPI 3.0 knows as they are (Specification 3.0.3, Schema Object). */
const KNOWN = new Set([
  "type",
  "enum",
  "minimum",
  "maximum",
  "multipleOf",
  "minLength",
  "maxLength",
  "pattern",
  "minItems",
  "maxItems",
  "uniqueItems",
  "minProperties",
  "maxProperties",
  "required",
  "description",
  "title",
  "format",
  "default",
  "example",
  "nullable",
  "deprecated",
]);

/**
 * A route's schema in OpenAPI 3.0's dialect: types that are lists become `anyOf`, null `nullable`,
 * `const` an `enum`; words it does not have are left out.
 */
export function toOpenApi(schema: unknown): JSONSchema {
  if (!isObject(schema)) return {};
  const result: Record<string, unknown> = {};
  for (const [word, value] of Object.entries(schema)) {
    if (KNOWN.has(word)) result[word] = value;
  }
  const { examples } = schema;
  if (Array.isArray(examples) && result["example"] === undefined) result["example"] = examples[0];
  if ("const" in schema) result["enum"] = [schema["const"]];
  for (const word of ["exclusiveMinimum", "exclusiveMaximum"] as const) {
    if (typeof schema[word] !== "number") continue;
    result[word === "exclusiveMinimum" ? "minimum" : "maximum"] = schema[word];
    result[word] = true;
  }
  if (Array.isArray(schema["required"]) && schema["required"].length === 0)
    delete result["required"];
  if (isObject(schema["properties"])) {
    result["properties"] = mapValues(schema["properties"], toOpenApi);
  }
  if (isObject(schema["items"])) result["items"] = toOpenApi(schema["items"]);
  else if (schema["type"] === "array") result["items"] = {};
  const more = schema["additionalProperties"];
  if (more !== undefined) result["additionalProperties"] = isObject(more) ? toOpenApi(more) : more;
  for (const word of ["anyOf", "oneOf", "allOf"] as const) {
    const members = schema[word];
    if (!Array.isArray(members)) continue;
    const others = members.filter((member) => !isNull(member));
    if (others.length === 0) continue;
    const isNullable = others.length < members.length;
    result[word] = others.map((member) => {
      const converted = toOpenApi(member);
      return isNullable && "type" in converted ? { ...converted, nullable: true } : converted;
    });
  }
  return withSingleType(result);
}

/** `type: ["string", "null"]` is a nullable string; with several types each is a member of `anyOf`. */
function withSingleType(schema: Readonly<Record<string, unknown>>): JSONSchema {
  const { type, ...rest } = schema;
  if (!Array.isArray(type)) return type === "null" ? { ...rest, nullable: true } : schema;
  const others = type.filter((name) => name !== "null");
  const nullable = others.length < type.length ? { nullable: true } : {};
  if (others.length === 1) return { ...rest, type: others[0], ...nullable };
  const { description, example, default: value, ...bounds } = rest;
  const anyOf = others.map((name) => ({ ...bounds, type: name, ...nullable }));
  return defined({ anyOf, description, example, default: value });
}

function isNull(schema: unknown): boolean {
  return isObject(schema) && schema["type"] === "null";
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function mapValues(
  object: Readonly<Record<string, unknown>>,
  change: (value: unknown) => unknown,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]));
}

function defined(object: Readonly<Record<string, unknown>>): JSONSchema {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}
