import type { MessageHandler, TopicFilter } from "../mqtt/index.ts";

/** A subscriber within the process. */
export interface LocalHandler {
  readonly filter: TopicFilter;
  readonly handle: MessageHandler;
}
