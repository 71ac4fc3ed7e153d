/** One metric family of Prometheus's text format. */
export interface Family {
  readonly name: string;
  readonly doc: string;
  readonly kind: "gauge" | "counter";
  readonly samples: readonly Sample[];
}

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Content type of the text format, version 0.0.4. */
export const EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** A family without labels. */
export function single(name: string, kind: Family["kind"], doc: string, value: number): Family {
  return { name, doc, kind, samples: [{ labels: {}, value }] };
}

/**
 * Families as text (Prometheus, "Exposition formats", 0.0.4); those without a sample are left out.
 * @param common labels that every sample gets besides its own
 */
export function renderFamilies(
  families: Iterable<Family>,
  common: Readonly<Record<string, string>> = {},
): string {
  const lines: string[] = [];
  for (const { name, doc, kind, samples } of families) {
    if (samples.length === 0) continue;
    lines.push(`# HELP ${name} ${doc.replace(/[\\\n]/g, escaped)}`, `# TYPE ${name} ${kind}`);
    for (const { labels, value } of samples) {
      const pairs = Object.entries({ ...common, ...labels }).map(
        ([label, text]) => `${label}="${text.replace(/[\\\n"]/g, escaped)}"`,
      );
      lines.push(`${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

function escaped(character: string): string {
  return character === "\n" ? "\\n" : `\\${character}`;
}
