import { tagWidth } from "../config/index.ts";
import { type Area, MAX_BITS } from "./pdu.ts";
import type { Tag } from "./values.ts";

/** One request that reads several tags. */
export interface Batch {
  readonly area: Area;
  readonly address: number;
  readonly count: number;
  readonly tags: readonly Tag[];
}

/**
 * The fewest requests that read `tags`: neighbours in one area go together while at most `maxGap`
 * unused registers stand between them and `maxRegisters` are not exceeded.
 */
export function planReads(
  tags: readonly Tag[],
  limits: { readonly maxGap: number; readonly maxRegisters: number },
): readonly Batch[] {
  const batches: Batch[] = [];
  for (const area of new Set(tags.map((tag) => tag.area))) {
    const most = area === "coil" || area === "discrete_input" ? MAX_BITS : limits.maxRegisters;
    const sorted = tags
      .filter((tag) => tag.area === area)
      .toSorted((a, b) => a.address - b.address || tagWidth(a) - tagWidth(b));
    let open: { address: number; end: number; tags: Tag[] } | null = null;
    for (const tag of sorted) {
      const end = tag.address + tagWidth(tag);
      const fits =
        open !== null &&
        tag.address - open.end <= limits.maxGap &&
        Math.max(end, open.end) - open.address <= most;
      if (open !== null && fits) {
        open.end = Math.max(open.end, end);
        open.tags.push(tag);
        continue;
      }
      if (open !== null) batches.push(batchOf(area, open));
      open = { address: tag.address, end, tags: [tag] };
    }
    if (open !== null) batches.push(batchOf(area, open));
  }
  return batches;
}

function batchOf(area: Area, open: { address: number; end: number; tags: Tag[] }): Batch {
  return { area, address: open.address, count: open.end - open.address, tags: open.tags };
}
