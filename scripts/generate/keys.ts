import type { Format, KeyRow, SchemaTree } from "../../src/config/format.ts";
import { isKeyRow } from "../../src/config/format.ts";

/** A key, or a member of the values of one, by the path a reader would write. */
export interface DocumentedKey {
  /** `listeners.tcp.port`, `auth.users[].password`, `bridges.<name>.server`. */
  readonly path: string;
  readonly row: KeyRow<unknown>;
}

/** Every key of a schema, each followed by the members of its values. */
export function documentedKeys(schema: SchemaTree, prefix = ""): DocumentedKey[] {
  return Object.entries(schema).flatMap(([name, node]): DocumentedKey[] => {
    const path = `${prefix}${name}`;
    if (!isKeyRow(node)) return documentedKeys(node, `${path}.`);
    return [{ path, row: node }, ...members(node.format, path)];
  });
}

/** The members of a key's values, none for a plain one. */
export function members({ shape }: Format<unknown>, path: string): DocumentedKey[] {
  switch (shape.kind) {
    case "scalar":
      return [];
    case "object":
      return documentedKeys(shape.schema, `${path}.`);
    case "list":
      return members(shape.element, `${path}[]`);
    case "map":
      return members(shape.element, `${path}.<name>`);
  }
}

/** A default as YAML on one line; nothing for a member that must be given. */
export function defaultText({ format, default: value }: KeyRow<unknown>): string {
  return format.faults(value, "").length > 0 ? "" : JSON.stringify(value);
}
