import { isKeyRow, type KeyRow, type SchemaTree } from "../../src/config/format.ts";
import { defaultText, members } from "./keys.ts";

const HEADER = `# Configuration of Tidegate, read at the start of the service.
#
# Every key stands here with its default. To change one, remove the # in front of it and in front of
# the groups above it. \`tidegate check FILE\` names everything that is wrong in a file.
# What the HTTP API changes is kept in the data directory and wins over this file.
`;

/** The operator's file: every key as a comment with its documentation, type and default. */
export function operatorFile(schema: SchemaTree): string {
  const blocks = Object.entries(schema).map(([name, node]) => lines(name, node, 0).join("\n"));
  return `${[HEADER.trimEnd(), ...blocks].join("\n\n")}\n`;
}

/** Lines that become valid YAML, comments included, when the first # of each is removed. */
function lines(name: string, node: SchemaTree | KeyRow<unknown>, depth: number): string[] {
  const indent = "  ".repeat(depth);
  if (isKeyRow(node)) return [...comments(node, depth), `#${indent}${name}: ${defaultText(node)}`];
  return [
    `#${indent}${name}:`,
    ...Object.entries(node).flatMap(([child, below]) => lines(child, below, depth + 1)),
  ];
}

function comments(row: KeyRow<unknown>, depth: number): string[] {
  const start = depth === 0 ? "# " : `#${"  ".repeat(depth)}# `;
  const when = row.reload === "live" ? "; a change applies at once" : "";
  const own = [row.doc, `Type: ${row.format.name}${when}.`];
  const inside = members(row.format, "").map(({ path, row: member }) => {
    const usual = member.format.shape.kind === "object" ? "" : `, ${usually(member)}`;
    return `- ${path.replace(/^\./, "")}: ${member.format.name}${usual}. ${member.doc}`;
  });
  return [...own, ...inside].map((line) => `${start}${line}`);
}

function usually(row: KeyRow<unknown>): string {
  const text = defaultText(row);
  return text === "" ? "required" : `default ${text}`;
}
