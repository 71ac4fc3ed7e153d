import { isDeepStrictEqual } from "node:util";
import { isAlias, parseDocument, visit } from "yaml";
import { isObject, type Values } from "./format.ts";
import { formatYaml, parseYaml } from "./yaml-text.ts";

const HEADER =
  "Installed by Tidegate from the boot partition; the next tidegate.yaml there replaces it.";

/**
 * A text that `parseYaml` reads as `values`, with other texts at some places, so that it reads as
 * `wanted`: comments and order are kept. Where that cannot be (a text that stands under an anchor
 * may be needed unchanged elsewhere), `wanted` is written anew.
 */
export function replaceTexts(bytes: Buffer, values: Values, wanted: Values): string {
  const text = new TextDecoder().decode(bytes).replaceAll("\r\n", "\n");
  const document = parseDocument(text, { version: "1.2", schema: "core", stringKeys: true });
  let hasAlias = false;
  visit(document, (_, node) => {
    if (isAlias(node)) hasAlias = true;
  });
  if (!hasAlias) {
    for (const [path, value] of textDifferences(values, wanted)) document.setIn(path, value);
    const edited = `# ${HEADER}\n${document.toString({ lineWidth: 0 })}`;
    if (reads(edited, wanted)) return edited;
  }
  return formatYaml(wanted, HEADER);
}

function reads(text: string, wanted: Values): boolean {
  try {
    return isDeepStrictEqual(parseYaml(Buffer.from(text), ""), wanted);
  } catch {
    return false;
  }
}

type Path = readonly (string | number)[];

function textDifferences(is: unknown, wanted: unknown, at: Path = []): [Path, unknown][] {
  if (Array.isArray(is) && Array.isArray(wanted)) {
    return wanted.flatMap((item: unknown, index) =>
      textDifferences(is[index], item, [...at, index]),
    );
  }
  if (isObject(is) && isObject(wanted)) {
    return Object.entries(wanted).flatMap(([name, value]) =>
      textDifferences(is[name], value, [...at, name]),
    );
  }
  return is === wanted ? [] : [[at, wanted]];
}
