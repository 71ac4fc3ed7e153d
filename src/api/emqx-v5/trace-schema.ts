const TIME = { type: ["string", "integer"] } as const;

/** Members of a trace, as it is made and as it is shown. */
export const MEMBERS = {
  name: {
    type: "string",
    pattern: "^[A-Za-z0-9_-]{1,256}$",
    description: "Letters, digits, `_` and `-`.",
    example: "slow-sensor",
  },
  type: {
    type: "string",
    enum: ["clientid", "topic", "ip_address"],
    description: "What the condition is about.",
    example: "clientid",
  },
  clientid: { type: "string", minLength: 1, description: "Client id.", example: "sensor-1" },
  topic: { type: "string", minLength: 1, description: "Topic filter.", example: "plant/#" },
  ip_address: {
    type: "string",
    minLength: 1,
    description: "Address of a client.",
    example: "192.168.1.20",
  },
  payload_encode: {
    type: "string",
    enum: ["text", "hex", "hidden"],
    default: "text",
    description: "How payloads are shown.",
    example: "text",
  },
  payload_limit: {
    type: "integer",
    minimum: 0,
    maximum: 65_536,
    default: 1024,
    description: "Bytes of a payload that are shown.",
    example: 1024,
  },
  formatter: {
    type: "string",
    enum: ["text", "json"],
    default: "text",
    description: "How lines look.",
    example: "text",
  },
} as const;

/** A trace as it is shown. */
export const TRACE = {
  type: "object",
  additionalProperties: false,
  properties: {
    ...MEMBERS,
    start_at: { type: "string", description: "Start.", example: "2026-05-01T10:00:00+00:00" },
    end_at: { type: "string", description: "End.", example: "2026-05-01T10:10:00+00:00" },
    status: {
      type: "string",
      enum: ["waiting", "running", "stopped"],
      description: "Whether it runs.",
      example: "running",
    },
    log_size: {
      type: "object",
      description: "Bytes written, by node.",
      additionalProperties: { type: "integer" },
      example: { "tidegate@127.0.0.1": 1234 },
    },
  },
  required: ["name", "type", "start_at", "end_at", "status", "log_size"],
} as const;

/** A trace as it is made. */
export const CREATE = {
  type: "object",
  additionalProperties: false,
  properties: {
    ...MEMBERS,
    start_at: { ...TIME, description: "RFC 3339 or epoch seconds; now when left out." },
    end_at: { ...TIME, description: "10 minutes after the start when left out." },
  },
  required: ["name", "type"],
} as const;
