import { required, text } from "../parameters.ts";
import { readTopics } from "../publish-members.ts";
import { parametersOf, type RequestCode } from "./request-code.ts";

/** Ends subscriptions of a client on its behalf. */
export const unsubscribe: RequestCode = {
  req: 22,
  async handle(call) {
    const parameters = parametersOf(call);
    const clientId = required(parameters, "clientid", text);
    await call.services.subscriptions.unsubscribe(clientId, readTopics(parameters));
    return {};
  },
};
