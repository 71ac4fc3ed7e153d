import type { Services } from "../../services/index.ts";
import { isJsonObject, type JsonObject } from "../json.ts";

/** One request as its code's handler sees it. */
export interface Call {
  /** The whole request object. */
  readonly members: JsonObject;
  readonly services: Services;
  /** Resolves once the answer has left. */
  readonly answered: Promise<void>;
}

/** What a handler answers with success: `data`, and members to stand after it. */
export interface Answer {
  readonly data?: unknown;
  readonly notice?: JsonObject;
}

/** A request code (reference §1.6) and what it does; refusals are thrown as GatewayErrors. */
export interface RequestCode {
  readonly req: number;
  handle(call: Call): Promise<Answer>;
}

/** Where the extension codes look for their parameters: in `data`, or beside `req` and `seq`. */
export function parametersOf({ members }: Call): JsonObject {
  const data = members["data"];
  return isJsonObject(data) ? data : members;
}
