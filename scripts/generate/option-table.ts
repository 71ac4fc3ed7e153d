import type { SchemaTree } from "../../src/config/format.ts";
import { keyEntries } from "../../src/config/keys.ts";
import { defaultText, documentedKeys } from "./keys.ts";
import { table } from "./section.ts";

/** Every key with type, default, environment variable and meaning. */
export function optionTable(schema: SchemaTree): string {
  const variableOf = new Map(keyEntries(schema).map(({ key, variable }) => [key, variable]));
  return table(
    ["Key", "Type", "Default", "A change applies", "Environment", "Meaning"],
    documentedKeys(schema).map(({ path, row }) => {
      const variable = variableOf.get(path);
      const isMember = variable === undefined;
      return [
        `\`${path}\``,
        row.format.name,
        row.format.shape.kind === "object" ? "" : code(defaultText(row) || "(required)"),
        isMember ? "" : row.reload === "live" ? "at once" : "by a restart",
        isMember ? "" : code(variable),
        row.sensitive === true ? `${row.doc} Secret.` : row.doc,
      ];
    }),
  );
}

function code(text: string): string {
  return `\`${text}\``;
}
