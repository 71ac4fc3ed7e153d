import { inTurns } from "../turns.ts";
import type { RequestCode } from "./request-code.ts";

/** All connected clients (`connect_status` 1) and the sessions left behind (0). */
export const clients: RequestCode = {
  req: 5,
  async handle({ services }) {
    const all = await services.clients.find();
    return {
      data: await inTurns(all, (client) => ({
        client_id: client.clientId,
        username: client.username ?? "",
        keepalive: client.keepAliveS,
        protocol: client.protocolVersion,
        connect_status: client.isConnected ? 1 : 0,
        message_receive: client.messagesOut,
      })),
    };
  },
};
