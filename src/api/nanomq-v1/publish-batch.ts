import { list, required } from "../parameters.ts";
import { publishBatch } from "../publish-members.ts";
import type { RequestCode } from "./request-code.ts";

/** Publishes a list of messages and tells what became of each. */
export const publishList: RequestCode = {
  req: 23,
  async handle({ members, services }) {
    return { data: await publishBatch(required(members, "data", list), services) };
  },
};
