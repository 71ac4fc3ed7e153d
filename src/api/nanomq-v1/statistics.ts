import type { RequestCode } from "./request-code.ts";

/** Broker counters, and the device's telemetry in the one member `device`. */
export const statistics: RequestCode = {
  req: 2,
  async handle({ services }) {
    const { subscribers, received, sent, dropped } = await services.statistics.messages();
    return {
      data: {
        client_size: subscribers,
        message_in: received,
        message_out: sent,
        message_drop: dropped,
        device: services.statistics.device(),
      },
    };
  },
};
