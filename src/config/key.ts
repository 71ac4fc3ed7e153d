import type { Format, KeyRow } from "./format.ts";

/** One key; a change waits for the restart that follows it unless it is marked live. */
export function key<T>(
  format: Format<T>,
  defaultValue: NoInfer<T>,
  doc: string,
  more: { reload?: "live"; sensitive?: true; hashed?: true } = {},
): KeyRow<T> {
  return { doc, format, default: defaultValue, reload: "restart", ...more };
}
