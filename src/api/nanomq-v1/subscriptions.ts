import type { RequestCode } from "./request-code.ts";

/** Subscriptions by client, those of offline persistent sessions included. */
export const subscriptions: RequestCode = {
  req: 4,
  async handle({ services }) {
    const byClient = await services.subscriptions.byClient();
    return {
      data: Array.from(byClient, ([clientId, rows]) => ({
        client_id: clientId,
        subscriptions: rows.map(({ filter, qos }) => ({ topic: filter, qos })),
      })),
    };
  },
};
