import type { PublishRequest, Services } from "../services/index.ts";
import { failureOf, RESULT } from "./errors.ts";
import { isJsonObject, type JsonObject, member } from "./json.ts";
import { flag, integer, invalid, object, oneOf, optional, required, text } from "./parameters.ts";

/** What became of one message of a batch. */
export interface BatchResult {
  readonly topic: string;
  readonly code: number;
}

const MAX_TOPICS = 1_000;
const MAX_BATCH = 1_000;

const coding = oneOf(["plain", "base64"]);

/**
 * Reads NanoMQ's publish members (reference §5.2).
 * @throws GatewayError PARAMETER_MISSING, PARAMETER_INVALID
 */
export function readPublish(members: JsonObject): PublishRequest {
  return {
    topics: readTopics(members),
    payload: required(members, "payload", text),
    decodeFrom: optional(members, "decoding", coding) ?? "plain",
    encodeTo: optional(members, "encoding", coding) ?? "plain",
    qos: optional(members, "qos", integer) ?? 0,
    retain: optional(members, "retain", flag) ?? false,
    clientId: optional(members, "clientid", text) ?? "NanoMQ-HTTP-Client",
    properties: optional(members, "properties", object) ?? {},
  };
}

/** `topic`, or the comma separated `topics`; `topic` wins. */
export function readTopics(members: JsonObject): readonly string[] {
  const several = optional(members, "topics", text);
  const one = optional(members, "topic", text);
  if (one === undefined && several !== undefined) {
    const topics = several.split(",");
    if (topics.length <= MAX_TOPICS) return topics;
    throw invalid("topics", topics.length, `at most ${MAX_TOPICS} topics`);
  }
  return [one ?? required(members, "topic", text)];
}

/** Publishes message by message; a bad one does not hold up the others. */
export async function publishBatch(
  batch: readonly unknown[],
  services: Services,
): Promise<BatchResult[]> {
  if (batch.length > MAX_BATCH) {
    throw invalid("the batch", batch.length, `at most ${MAX_BATCH} messages`);
  }
  const results: BatchResult[] = [];
  for (const item of batch) results.push(await publishOne(item, services));
  return results;
}

async function publishOne(item: unknown, services: Services): Promise<BatchResult> {
  if (!isJsonObject(item)) return { topic: "", code: RESULT.invalid };
  const given = member(item, "topic") ?? member(item, "topics");
  const topic = typeof given === "string" ? given : "";
  try {
    await services.publisher.publish(readPublish(item));
    return { topic, code: RESULT.success };
  } catch (err) {
    const failure = failureOf(err);
    if (failure.status >= 500) throw err;
    return { topic, code: failure.code };
  }
}
