import { renamed } from "../errors.ts";
import { flag, invalid, type Kind, object, optional, required } from "../parameters.ts";
import { memberNameOf, readChange } from "./config/index.ts";
import type { Call, RequestCode } from "./request-code.ts";

/** Shorter than a restart on a slow board would take every change back, longer serves nobody. */
const CONFIRM_S = { min: 10, max: 86_400 } as const;

const confirmTime: Kind<number> = {
  expected: `a whole number ${CONFIRM_S.min}–${CONFIRM_S.max}`,
  is: (value): value is number =>
    Number.isSafeInteger(value) && Number(value) >= CONFIRM_S.min && Number(value) <= CONFIRM_S.max,
};

/**
 * Changes the stored configuration and restarts to apply it, after the answer. An object in which
 * nothing differs is a success without a restart. `force` beside `data` allows to lock oneself out,
 * `confirm_s` brings the old configuration back unless `confirm` is sent in that time.
 */
export const setConfig: RequestCode = {
  req: 12,
  async handle(call) {
    const { members, services, answered } = call;
    if (optional(members, "confirm", flag) === true) return confirm(call);
    const data = required(members, "data", object);
    const force = optional(members, "force", flag) ?? false;
    const confirmS = optional(members, "confirm_s", confirmTime);
    const { configuration, control } = services;
    try {
      const changed = await configuration.change(
        async (stored) => readChange(data, stored, await configuration.pemTexts(stored)),
        { force, confirmS },
      );
      if (changed.length > 0) control.request("restart", answered);
      return {};
    } catch (err) {
      throw renamed(err, memberNameOf);
    }
  },
};

/** Sent too early (before the restart), too late or for nothing is refused: it confirms nothing. */
async function confirm({ members, services: { configuration } }: Call) {
  if (members["data"] !== undefined) {
    throw invalid("data", members["data"], "nothing beside confirm: first change, then confirm");
  }
  if (await configuration.confirm()) return {};
  const { rolledBack } = configuration.status();
  const why = rolledBack === null ? "none is" : `the last was taken back: ${rolledBack.reason}`;
  throw invalid("confirm", true, `a change that is on trial, and ${why}`);
}
