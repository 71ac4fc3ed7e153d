import { messageId, type Origin, type StoredMessage } from "../../mqtt/index.ts";

/** What lists of messages say about one, and where it came from (reference §5.5.3, §5.8.1). */
export const MESSAGE_PROPERTIES = {
  msgid: {
    type: "string",
    description: "Id of the message, 32 hexadecimal digits.",
    example: "018F89A1D3E40F31C5B37D2A6E1B90C4",
  },
  topic: { type: "string", description: "Topic.", example: "press/3/state" },
  qos: { type: "integer", description: "QoS.", example: 1 },
  from_clientid: {
    type: "string",
    description: "Client id of the publisher.",
    example: "sensor-7",
  },
  from_username: {
    type: "string",
    description: 'User name of the publisher, "undefined" without one.',
    example: "undefined",
  },
} as const;

export function messageView(message: StoredMessage) {
  return {
    msgid: messageId(message),
    topic: message.topic,
    qos: message.qos,
    from_clientid: senderOf(message.origin),
    from_username: message.origin.kind === "client" ? (message.origin.username ?? NOBODY) : NOBODY,
  };
}

const NOBODY = "undefined";

function senderOf(origin: Origin): string {
  switch (origin.kind) {
    case "client":
    case "api":
      return origin.clientId;
    case "bridge":
      return `bridge:${origin.bridge}`;
    case "system":
      return "tidegate";
  }
}
