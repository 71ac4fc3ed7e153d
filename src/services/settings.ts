import type { Config } from "../config/index.ts";
import type { Configuration } from "./configuration/index.ts";
import type { Control } from "./control.ts";

/** Changes of single keys: at once where that is possible, by a restart where not. */
export interface Settings {
  /** With every change, also those that wait for the restart under way. */
  stored(): Config;
  /**
   * A restart that is needed follows two seconds later.
   * @throws what `Configuration.change` throws; then nothing is changed
   */
  change(patch: Readonly<Record<string, unknown>>): Promise<void>;
}

export function createSettings(
  configuration: Pick<Configuration, "change" | "status">,
  control: Control,
  stored: () => Config,
): Settings {
  return {
    stored,
    async change(patch) {
      const changed = await configuration.change(async () => ({ patch, pems: {} }), {
        force: false,
      });
      const { restartPending } = configuration.status();
      // Nobody says when the answer is out: the control waits as long as it ever does.
      if (changed.length > 0 && restartPending) control.request("restart", new Promise(() => {}));
    },
  };
}
