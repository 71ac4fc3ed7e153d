import type { MessageProperties } from "../mqtt/index.ts";

/** User property with the gateways a message has passed through, its origin first: `id,id,…`. */
const VIA = "tidegate-via";

/** User property that tells one message of a bridge from another: `<epoch>.<number>`. */
const SEQ = "tidegate-seq";

/** A message that has passed through more gateways goes no further. */
const MAX_HOPS = 8;

/** No list of that many names is longer; a longer one is somebody's nonsense. */
const MAX_VIA_CHARS = 1024;

/** How a message came here, as far as its mark tells. */
export type Journey = "new" | "returned" | "too_far";

/** Whether a message has been at the gateway called `me` before. */
export function journeyOf(properties: MessageProperties | undefined, me: string): Journey {
  const via = find(properties, VIA);
  if (via === undefined) return "new";
  if (via.length > MAX_VIA_CHARS) return "too_far";
  const passed = via.split(",");
  if (passed.includes(me)) return "returned";
  return passed.length >= MAX_HOPS ? "too_far" : "new";
}

/**
 * The properties of a message that leaves `me` for another broker; `seq` is its own mark. They are
 * kept with the message, so that it is sent again under the same mark also after a restart.
 */
export function withMarks(
  properties: MessageProperties | undefined,
  me: string,
  seq: string | null,
): MessageProperties {
  const via = find(properties, VIA);
  const others = (properties?.userProperties ?? []).filter(
    ([name]) => name !== VIA && name !== SEQ,
  );
  const path = via === undefined ? me : `${via},${me}`;
  const marks: (readonly [string, string])[] = [[VIA, path]];
  if (seq !== null) marks.push([SEQ, seq]);
  return { ...properties, userProperties: [...others, ...marks] };
}

/** The properties without another bridge's mark, which would be taken for ours. */
export function withoutSeq(
  properties: MessageProperties | undefined,
): MessageProperties | undefined {
  if (find(properties, SEQ) === undefined) return properties;
  const userProperties = properties?.userProperties?.filter(([name]) => name !== SEQ) ?? [];
  return { ...properties, userProperties };
}

/** The value of {@link SEQ} among user properties. */
export function seqMark(
  userProperties: readonly (readonly [string, string])[] | undefined,
): { readonly epoch: string; readonly seq: number } | null {
  const text = userProperties?.find(([name]) => name === SEQ)?.[1];
  const parts = text === undefined ? null : /^([0-9a-f]{16})\.(\d{1,15})$/.exec(text);
  if (parts === null) return null;
  return { epoch: parts[1] ?? "", seq: Number(parts[2]) };
}

function find(properties: MessageProperties | undefined, wanted: string): string | undefined {
  return properties?.userProperties?.find(([name]) => name === wanted)?.[1];
}
