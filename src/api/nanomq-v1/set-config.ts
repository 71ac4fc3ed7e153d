import { renamed } from "../errors.ts";
import { flag, object, optional, required } from "../parameters.ts";
import { memberNameOf, readChange } from "./config/index.ts";
import type { RequestCode } from "./request-code.ts";

/**
 * Changes the stored configuration and restarts to apply it, after the answer. An object in which
 * nothing differs is a success without a restart. `force` beside `data` allows to lock oneself out.
 */
export const setConfig: RequestCode = {
  req: 12,
  async handle({ members, services: { configuration, control }, answered }) {
    const data = required(members, "data", object);
    const force = optional(members, "force", flag) ?? false;
    try {
      const changed = await configuration.change(
        async (stored) => readChange(data, stored, await configuration.pemTexts(stored)),
        { force },
      );
      if (changed.length > 0) control.request("restart", answered);
      return {};
    } catch (err) {
      throw renamed(err, memberNameOf);
    }
  },
};
