import { isGatewayError } from "../../errors/index.ts";
import type { BridgesService } from "../../services/index.ts";
import { RESULT, renamed } from "../errors.ts";
import { type JsonObject, member } from "../json.ts";
import { flag, invalid, list, object, required } from "../parameters.ts";
import { readBridge, readSubscription, showBridge } from "./bridge-members.ts";
import { CODE_ONLY, FAILURE, type Resource } from "./schema.ts";

const NAME = {
  type: "object",
  properties: { name: { type: "string" } },
  required: ["name"],
} as const;

/** What a node holds is NanoMQ's, member by member in `showBridge`. */
const NODES = {
  type: "object",
  properties: {
    code: { type: "integer" },
    data: {
      type: "object",
      properties: {
        bridge: {
          type: "object",
          properties: {
            nodes: { type: "array", items: { type: "object", additionalProperties: true } },
            sqlite: { type: "object", additionalProperties: true },
          },
          required: ["nodes", "sqlite"],
        },
      },
      required: ["bridge"],
    },
  },
  required: ["code", "data"],
} as const;

const shown = { schema: { response: { 200: NODES, "4xx": FAILURE } } } as const;
const named = {
  schema: { params: NAME, response: { 200: NODES, "4xx": FAILURE } },
} as const;
const action = {
  schema: {
    params: NAME,
    body: { type: "object" },
    response: { 200: CODE_ONLY, 204: { type: "null" }, "4xx": FAILURE },
  },
} as const;

/**
 * `/bridges` (reference §5.1). Unlike NanoMQ's, a change is stored and survives a restart, and an
 * unknown member is refused instead of ignored. What a PUT does not name stays as it is.
 */
export const bridges: Resource = (app, { bridges: service }) => {
  const answer = (nodes: readonly ReturnType<typeof showBridge>[]) => ({
    code: RESULT.success,
    data: { bridge: { nodes: [...nodes], sqlite: {} } },
  });

  app.get("/bridges", shown, async () => answer(service.list().map(showBridge)));

  app.get("/bridges/:name", named, async ({ params: { name } }) =>
    answer(
      service
        .list()
        .filter((it) => it.name === name)
        .map(showBridge),
    ),
  );

  app.put("/bridges/:name", action, async ({ params: { name }, body }, reply) => {
    const given = member(body, name);
    if (!isKnown(service, name) || !object.is(given)) {
      return reply.code(403).send({ code: RESULT.invalid });
    }
    await inItsWords(name, () => service.change(name, (stored) => readBridge(given, stored, name)));
    return { code: RESULT.success };
  });

  app.post("/bridges/switch/:name", action, async ({ params: { name }, body }, reply) => {
    const enable = required(required(body, "data", object), "bridge_switch", flag);
    if (!isKnown(service, name)) return reply.code(204).send(null);
    await inItsWords(name, () => service.change(name, (stored) => ({ ...stored, enable })));
    return { code: RESULT.success };
  });

  app.post("/bridges/sub/:name", action, async ({ params: { name }, body }, reply) => {
    if (!isKnown(service, name)) return reply.code(404).send({ code: RESULT.invalid });
    const wanted = listIn(body, "subscription");
    if (wanted === null) return reply.code(400).send({ code: RESULT.notJson });
    const added = wanted.map((item, index) => readSubscription(item, `subscription[${index}]`));
    await inItsWords(name, () =>
      service.change(name, (stored) => ({
        ...stored,
        subscription: [...stored.subscription, ...added],
      })),
    );
    await service.settled(name);
    return { code: RESULT.success };
  });

  app.post("/bridges/unsub/:name", action, async ({ params: { name }, body }, reply) => {
    if (!isKnown(service, name)) return reply.code(404).send({ code: RESULT.invalid });
    const unwanted = listIn(body, "unsubscription");
    if (unwanted === null) return reply.code(400).send({ code: RESULT.notJson });
    const topics = unwanted.map((item, index) => {
      const topic = object.is(item) ? member(item, "topic") : undefined;
      if (typeof topic !== "string") {
        throw invalid(`unsubscription[${index}].topic`, topic, "a filter");
      }
      return topic;
    });
    await inItsWords(name, () =>
      service.change(name, (stored) => ({
        ...stored,
        subscription: stored.subscription.filter((it) => !topics.includes(it.remote_topic)),
      })),
    );
    await service.settled(name);
    return { code: RESULT.success };
  });
};

function isKnown(service: BridgesService, name: string): boolean {
  return service.list().some((it) => it.name === name);
}

function listIn(body: JsonObject, name: string): readonly unknown[] | null {
  const data = member(body, "data");
  const wanted = object.is(data) ? member(data, name) : undefined;
  return list.is(wanted) ? wanted : null;
}

/** A refusal that names the member as the caller sent it, without the canonical key before it. */
async function inItsWords(name: string, task: () => Promise<unknown>): Promise<void> {
  try {
    await task();
  } catch (err) {
    if (!isGatewayError(err)) throw err;
    throw renamed(err, (key) => key.replace(`bridges.${name}.`, ""));
  }
}
