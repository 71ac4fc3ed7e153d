import type { Config } from "../../config/index.ts";
import {
  configWith,
  MemoryConfigStore,
} from "../../services/configuration/memory-config-store.testing.ts";

/** A configuration that changes at once, and tells of it. */
export function liveConfiguration(onChange: (next: Config) => void) {
  const store = new MemoryConfigStore(configWith({}));
  return {
    store,
    current: () => store.stored(),
    async change(draft: (stored: Config) => Promise<{ readonly patch: object }>) {
      const { patch } = await draft(store.stored());
      const changed = await store.change({ ...patch }, async () => undefined);
      onChange(store.stored());
      return changed;
    },
  };
}
