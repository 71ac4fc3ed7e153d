import type { Services } from "../../services/index.ts";
import { ApiError } from "./kit/index.ts";

/** A node's name in answers and queries. */
export const NODE = {
  type: "string",
  description: "Name of the node.",
  example: "tidegate@127.0.0.1",
} as const;

/** The path parameter `{node}`. */
export const NODE_PARAMS = {
  type: "object",
  properties: { node: NODE },
  required: ["node"],
} as const;

/** @throws ApiError 404 for a node that is not this one */
export function requireNode(own: { readonly name: string }, name: string): void {
  if (name !== own.name) throw new ApiError(404, "NOT_FOUND", `Node not found: ${name}`);
}

/** @throws ApiError 500 NODE_DOWN for a node that is not this one (reference §4.4) */
export function checkNode(asked: string | undefined, node: Services["node"]): void {
  if (asked === undefined || asked === node.name) return;
  const shown = asked.slice(0, 100).toWellFormed();
  throw new ApiError(500, "NODE_DOWN", `node ${JSON.stringify(shown)} is not running`);
}
