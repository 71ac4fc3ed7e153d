import type { SubscriptionInfo } from "../../mqtt/index.ts";
import { createTurns } from "../turns.ts";
import type { RequestCode } from "./request-code.ts";

interface Node {
  readonly level: string;
  readonly children: Map<string, Node>;
  readonly clientIds: string[];
}

/** The tree of subscribed filters, level by level. */
export const topicTree: RequestCode = {
  req: 13,
  async handle({ services }) {
    const levels = levelsOf(await treeOf(services.subscriptions.rows()));
    return {
      data: levels.map((nodes) =>
        nodes.map(({ level, children, clientIds }) => ({
          topic: level,
          cld_cnt: children.size,
          ...(clientIds.length > 0 ? { client_id: clientIds } : {}),
        })),
      ),
    };
  },
};

async function treeOf(subscriptions: Iterable<SubscriptionInfo>): Promise<Node> {
  const root = nodeOf("");
  const turns = createTurns();
  for (const { clientId, filter } of subscriptions) {
    let node = root;
    for (const level of filter.split("/")) {
      const child = node.children.get(level) ?? nodeOf(level);
      node.children.set(level, child);
      node = child;
    }
    node.clientIds.push(clientId);
    if (turns.isDue()) await turns.take();
  }
  return root;
}

function nodeOf(level: string): Node {
  return { level, children: new Map(), clientIds: [] };
}

function levelsOf(root: Node): Node[][] {
  const levels: Node[][] = [];
  let nodes = [root];
  while (nodes.length > 0) {
    levels.push(nodes);
    nodes = nodes.flatMap(({ children }) => [...children.values()]);
  }
  return levels;
}
