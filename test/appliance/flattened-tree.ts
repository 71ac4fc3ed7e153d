/** Texts, or 32-bit numbers. */
export type Properties = Readonly<Record<string, readonly string[] | readonly number[]>>;

export interface SourceNode {
  readonly properties: Properties;
  readonly nodes?: Readonly<Record<string, SourceNode>>;
}

/** A device tree as firmware passes it on (Devicetree Specification 0.4, chapter 5). */
export function flattened(root: SourceNode): Buffer {
  const names: string[] = [];
  const offsetOf = (name: string) => {
    if (!names.includes(name)) names.push(name);
    return names.slice(0, names.indexOf(name)).join(".").length + Math.min(1, names.indexOf(name));
  };
  const node = (name: string, { properties, nodes = {} }: SourceNode): Buffer[] => [
    cells(1),
    padded(`${name}\0`),
    ...Object.entries(properties).flatMap(([property, values]) => {
      const value = Buffer.concat(
        values.map((one) => (typeof one === "number" ? cells(one) : Buffer.from(`${one}\0`))),
      );
      return [cells(3, value.length, offsetOf(property)), padded(value)];
    }),
    ...Object.entries(nodes).flatMap(([below, content]) => node(below, content)),
    cells(2),
  ];
  const structure = Buffer.concat([...node("", root), cells(4), cells(9)]);
  const strings = Buffer.from(`${names.join("\0")}\0`);
  const HEAD = 40;
  const total = HEAD + structure.length + strings.length;
  const head = cells(0xd00dfeed, total, HEAD, HEAD + structure.length, 0, 17, 16, 0);
  return Buffer.concat([head, cells(strings.length, structure.length), structure, strings]);
}

function cells(...values: number[]): Buffer {
  const buffer = Buffer.alloc(4 * values.length);
  values.forEach((value, at) => {
    buffer.writeUInt32BE(value, 4 * at);
  });
  return buffer;
}

function padded(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}
