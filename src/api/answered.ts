import type { ServerResponse } from "node:http";

/** Resolves once the answer has left for the caller, or the caller has left. */
export function answered(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    response.once("finish", resolve);
    response.once("close", resolve);
  });
}
