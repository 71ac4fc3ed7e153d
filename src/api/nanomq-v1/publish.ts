import { readPublish } from "../publish-members.ts";
import { parametersOf, type RequestCode } from "./request-code.ts";

/** Publishes one message, to one topic or to several. */
export const publish: RequestCode = {
  req: 20,
  async handle(call) {
    await call.services.publisher.publish(readPublish(parametersOf(call)));
    return {};
  },
};
