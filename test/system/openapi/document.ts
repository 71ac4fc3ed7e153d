/** What these tests read of an OpenAPI 3.0 document. */
export interface Schema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly example?: unknown;
  readonly default?: unknown;
  readonly nullable?: boolean;
  readonly minimum?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
}

export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query";
  readonly required?: boolean;
  readonly schema: Schema;
}

interface Content {
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
}

export interface Operation {
  readonly operationId: string;
  readonly security?: readonly Readonly<Record<string, unknown>>[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: Content;
  readonly responses: Readonly<Record<string, Content>>;
}

export interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

/** One operation with where it is. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

export function callsOf(document: OpenApi): Call[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      operation,
    })),
  );
}

/** A value the schema describes, from its examples and defaults. */
export function sample(schema: Schema, isMinimal = false): unknown {
  if (schema.example !== undefined) return schema.example;
  if (schema.default !== undefined) return schema.default;
  if (schema.enum !== undefined) return schema.enum[0];
  const union = schema.anyOf ?? schema.oneOf;
  if (union?.[0] !== undefined) return sample(union[0], isMinimal);
  switch (schema.type ?? "object") {
    case "string":
      return "text";
    case "integer":
    case "number":
      return schema.minimum ?? 1;
    case "boolean":
      return true;
    case "array":
      return schema.items === undefined ? [] : [sample(schema.items, isMinimal)];
    default:
      return Object.fromEntries(
        Object.entries(schema.properties ?? {})
          .filter(([name]) => !isMinimal || schema.required?.includes(name) === true)
          .map(([name, property]) => [name, sample(property, isMinimal)]),
      );
  }
}

/** Values of every JSON type but those a schema takes. */
export function wrongValues(schema: Schema): unknown[] {
  const union = schema.anyOf ?? schema.oneOf ?? [schema];
  const types = new Set(union.map(({ type, enum: words }) => type ?? typeof words?.[0]));
  // A schema without a type takes anything.
  if (types.has("undefined")) return [];
  const isNullable = schema.nullable === true || union.some((one) => one.nullable === true);
  const values: readonly (readonly [type: string, value: unknown])[] = [
    ["string", "\u0000wrong"],
    ["number", 0.5],
    ["boolean", true],
    ["array", [["deep"]]],
    ["object", { __proto__: null, wrong: { a: 1 } }],
  ];
  const wrong = values.filter(([type]) => !types.has(type)).map(([, value]) => value);
  const words = union.flatMap((one) => one.enum ?? []);
  if (words.length > 0 && !words.includes("\u0000wrong")) wrong.push("\u0000wrong");
  return isNullable ? wrong : [...wrong, null];
}
