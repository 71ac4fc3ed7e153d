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
