import { integer, optional, required, text } from "../parameters.ts";
import { readTopics } from "../publish-members.ts";
import { parametersOf, type RequestCode } from "./request-code.ts";

/** Subscribes a connected client on its behalf. */
export const subscribe: RequestCode = {
  req: 21,
  async handle(call) {
    const parameters = parametersOf(call);
    const clientId = required(parameters, "clientid", text);
    const filters = readTopics(parameters);
    const qos = optional(parameters, "qos", integer) ?? 0;
    await call.services.subscriptions.subscribe(clientId, filters, qos);
    return {};
  },
};
