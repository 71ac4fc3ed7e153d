import { invalid, required, text } from "../parameters.ts";
import type { RequestCode } from "./request-code.ts";

/** Stops or restarts the gateway, after the answer. */
export const control: RequestCode = {
  req: 10,
  async handle({ members, services, answered }) {
    const action = required(members, "action", text);
    const kind = action.toLowerCase();
    if (kind !== "stop" && kind !== "restart") throw invalid("action", action, "stop or restart");
    services.control.request(kind, answered);
    return {};
  },
};
