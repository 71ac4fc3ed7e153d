const DURATION = {
  type: ["string", "integer"],
  description: "A duration such as 15s; a number is ms.",
} as const;
const QOS = { enum: [0, 1, 2, "${qos}"], description: "`${qos}` keeps the message's." } as const;
const RETAIN = {
  enum: [true, false, "${retain}"],
  description: "`${retain}` keeps the message's.",
} as const;
const TEXT = { type: "string", maxLength: 65_535 } as const;

const SSL = {
  type: "object",
  additionalProperties: false,
  description: "TLS.",
  properties: {
    enable: { type: "boolean", description: "Use TLS." },
    verify: {
      type: "string",
      enum: ["verify_peer", "verify_none"],
      description: "Verify the server; the default here.",
    },
    cacertfile: { type: "string", description: "CA certificates: a path, or PEM text." },
    certfile: { type: "string", description: "Client certificate: a path, or PEM text." },
    keyfile: { type: "string", description: "Client key: a path, or PEM text." },
    password: { type: "string", description: "Passphrase of the key; shown as ******." },
    server_name_indication: { type: "string", description: "Name to ask for and verify." },
    versions: {
      type: "array",
      items: { type: "string", enum: ["tlsv1.3", "tlsv1.2"] },
      minItems: 2,
      description: "Always both.",
    },
    ciphers: { type: "array", maxItems: 0, items: TEXT, description: "Empty: the secure ones." },
    depth: { type: "integer", enum: [10], description: "Always 10." },
  },
} as const;

/** A link tells how it stands by itself: there is nothing to ask, and nothing to wait for. */
const HEALTH = {
  ...DURATION,
  description: "Any: how a link stands is known at every moment.",
} as const;
const LINK_OPTIONS = {
  type: "object",
  additionalProperties: false,
  description: "What is not listed is refused.",
  properties: {
    health_check_interval: HEALTH,
    health_check_timeout: HEALTH,
    start_timeout: HEALTH,
    start_after_created: { type: "boolean", enum: [true], description: "Always." },
  },
} as const;
const RULE_OPTIONS = {
  type: "object",
  additionalProperties: false,
  description:
    "What is not listed is refused: bounds, window and life of what waits are the connector's.",
  properties: {
    health_check_interval: HEALTH,
    resume_interval: HEALTH,
    query_mode: { type: "string", enum: ["async"], description: "Always: what waits is stored." },
    worker_pool_size: {
      type: "integer",
      minimum: 1,
      description: "Any: one link keeps the order.",
    },
  },
} as const;

/** Members of a connector's configuration. */
export const LINK_MEMBERS = {
  enable: { type: "boolean", description: "Keep the link up." },
  description: { ...TEXT, description: "For people." },
  tags: {
    type: "array",
    maxItems: 32,
    items: { type: "string", minLength: 1, maxLength: 1024 },
    description: "For people.",
  },
  server: {
    ...TEXT,
    description:
      "host:port, several with a comma between: those after the first are turned to while it is away.",
    example: "cloud.example:8883",
  },
  proto_ver: { type: "string", enum: ["v3", "v4", "v5"], description: "MQTT version." },
  bridge_mode: { type: "boolean", description: "Set the bridge bit (MQTT 3.1 and 3.1.1)." },
  username: { ...TEXT, description: "User name at the cloud." },
  password: { ...TEXT, description: "Password; shown as ******, which sent back keeps it." },
  clientid_prefix: { ...TEXT, description: "Put before the client id that is made." },
  static_clientids: {
    type: "array",
    description: "The client id: the first one counts.",
    items: {
      type: "object",
      properties: { node: TEXT, ids: { type: "array", items: TEXT } },
    },
  },
  clean_start: { type: "boolean", description: "Start without the session the cloud keeps." },
  keepalive: { ...DURATION, example: "60s" },
  connect_timeout: { ...DURATION, example: "30s" },
  retry_interval: {
    ...DURATION,
    description:
      "Silence about messages on their way after which it connects anew and sends them again (MQTT allows no other resend); 60 s at least.",
    example: "5m",
  },
  max_inflight: {
    type: "integer",
    minimum: 1,
    maximum: 65_535,
    description: "Unacknowledged messages at once.",
  },
  pool_size: { type: "integer", minimum: 1, description: "Any: one link keeps the order." },
  ssl: SSL,
  resource_opts: LINK_OPTIONS,
} as const;

/** Members of an answer that those send back who edit what they were shown. */
export const SHOWN_MEMBERS = {
  type: { type: "string", enum: ["mqtt"], description: "Always mqtt." },
  name: { type: "string", description: "Name." },
  status: {
    type: "string",
    enum: ["connected", "connecting", "disconnected", "inconsistent"],
    description: "How it stands.",
  },
  status_reason: { type: "string", description: "Why it is not connected." },
  node_status: {
    type: "array",
    items: {
      type: "object",
      properties: {
        node: { type: "string" },
        status: { type: "string" },
        status_reason: { type: "string" },
      },
    },
    description: "The same for the one node.",
  },
} as const;

export const NAME = {
  type: "string",
  pattern: "^[0-9A-Za-z][0-9A-Za-z_-]{0,63}$",
  description: "Name, unique among its kind.",
  example: "cloud",
} as const;

export const RULE_NAME = {
  ...NAME,
  pattern: "^[0-9A-Za-z][0-9A-Za-z_-]{0,253}$",
} as const;

const LOCAL = {
  type: "object",
  additionalProperties: false,
  description: "The local side, without a rule.",
  properties: {
    topic: {
      ...TEXT,
      description: "Actions: local filter to forward. Sources: topic to publish under.",
    },
    qos: QOS,
    retain: RETAIN,
    payload: { ...TEXT, description: "`${payload}`: payloads are passed on as they are." },
  },
} as const;

/** `parameters` of an action or source. */
export const PARAMETERS = {
  type: "object",
  additionalProperties: false,
  properties: {
    topic: {
      ...TEXT,
      description:
        "Actions: remote topic, `${topic}` stands for the local one. Sources: remote filter.",
      example: "gw1/${topic}",
    },
    qos: QOS,
    retain: RETAIN,
    payload: { ...TEXT, description: "`${payload}`: payloads are passed on as they are." },
    no_local: { type: "boolean", enum: [true], description: "Always on." },
    local: LOCAL,
  },
  required: ["topic"],
} as const;

/** Members of an action or source. */
export const RULE_MEMBERS = {
  connector: { ...TEXT, description: "Name of the connector." },
  enable: { type: "boolean", description: "Use it." },
  description: { ...TEXT, maxLength: 1024, description: "For people." },
  tags: LINK_MEMBERS.tags,
  parameters: PARAMETERS,
  resource_opts: RULE_OPTIONS,
} as const;

/** `/{id}/{operation}`, with a node in front or not. */
export function operationParams<const O extends string>(operations: readonly O[]) {
  return {
    type: "object",
    properties: {
      node: { type: "string" },
      id: { type: "string" },
      operation: { type: "string", enum: operations },
    },
    required: ["id", "operation"],
  } as const;
}

/** `{id}/enable/{…}`. */
export const ENABLE_PARAMS = {
  type: "object",
  properties: {
    id: { type: "string", description: "type:name", example: "mqtt:cloud" },
    enable: { type: "string", enum: ["true", "false"] },
  },
  required: ["id", "enable"],
} as const;

/** An object with these members, of which some are required. */
export function closed<const P, const R extends readonly string[]>(properties: P, required: R) {
  return { type: "object", additionalProperties: false, properties, required } as const;
}
