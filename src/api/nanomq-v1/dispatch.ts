import type { Log } from "../../log/index.ts";
import type { Services } from "../../services/index.ts";
import { failureOf, RESULT } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import { clients } from "./clients.ts";
import { control } from "./control.ts";
import { type Envelope, writeAnswer } from "./envelope.ts";
import { getConfig } from "./get-config.ts";
import { publish } from "./publish.ts";
import { publishList } from "./publish-batch.ts";
import type { RequestCode } from "./request-code.ts";
import { setConfig } from "./set-config.ts";
import { statistics } from "./statistics.ts";
import { subscribe } from "./subscribe.ts";
import { subscriptions } from "./subscriptions.ts";
import { topicTree } from "./topic-tree.ts";
import { unsubscribe } from "./unsubscribe.ts";

/** Every request code that is served. */
export const REQUEST_CODES: ReadonlyMap<number, RequestCode> = new Map(
  [
    statistics,
    subscriptions,
    clients,
    control,
    getConfig,
    setConfig,
    topicTree,
    publish,
    subscribe,
    unsubscribe,
    publishList,
  ].map((code) => [code.req, code]),
);

export interface V1Reply {
  readonly status: number;
  readonly body: JsonObject;
}

/** Carries out a request whose caller is known. Never rejects: whatever goes wrong is an answer. */
export async function dispatch(
  envelope: Envelope,
  deps: { readonly log: Log; readonly services: Services },
  answered: Promise<void>,
): Promise<V1Reply> {
  const { members, fault, req } = envelope;
  if (fault !== null || members === null) {
    return { status: 400, body: writeAnswer(fault ?? RESULT.notJson, envelope) };
  }
  const code = REQUEST_CODES.get(req);
  if (code === undefined) return { status: 404, body: writeAnswer(RESULT.invalid, envelope) };
  try {
    const { data, notice } = await code.handle({ members, services: deps.services, answered });
    const more = { ...(data === undefined ? {} : { data }), ...notice };
    return { status: 200, body: writeAnswer(RESULT.success, envelope, more) };
  } catch (err) {
    const { status, code: result, message } = failureOf(err);
    if (status >= 500) deps.log.error({ err, req }, "a request of the NanoMQ V1 API failed");
    const more = message === undefined ? {} : { message };
    return { status, body: writeAnswer(result, envelope, more) };
  }
}
