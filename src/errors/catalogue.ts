/**
 * Every error the gateway raises: the message (what happened, the offending value, what was
 * expected), and the HTTP status an API answers with. Codes are never reused for another meaning.
 */
export const CATALOGUE = {
  ACL_RULES_EXIST: { message: "there are rules of {kind} {name} already", status: 409 },
  ACL_RULES_FULL: { message: "no more than {max} clients and users can have rules", status: 400 },
  ACL_RULES_IN_FORCE: {
    message: "the rules can be deleted together only while their source is disabled",
    status: 400,
  },
  ACL_RULES_NOT_FOUND: { message: "there are no rules of {kind} {name}", status: 404 },
  ACL_SOURCE_EXISTS: { message: "there is a source {type} already", status: 400 },
  ACL_SOURCE_NOT_FOUND: { message: "there is no source {type}", status: 404 },
  API_KEY_INVALID: {
    message: "API key: {field}: {value} is not valid; expected {expected}",
    status: 400,
  },
  API_KEY_LIMIT: { message: "there are {max} API keys already", status: 400 },
  API_KEY_NAME_TAKEN: { message: "name_already_exists: {name}", status: 400 },
  API_KEY_NOT_FOUND: { message: "there is no API key named {name}", status: 404 },
  AUTHENTICATOR_EXISTS: { message: "there is an authenticator {id} already", status: 409 },
  AUTHENTICATOR_NOT_FOUND: { message: "there is no authenticator {id}", status: 404 },
  AUTH_OVERLOADED: {
    message: "too many passwords wait to be hashed; try again",
    status: 503,
  },
  BACKUP_INVALID: { message: "the backup cannot be used: {reason}", status: 400 },
  BACKUP_NOT_FOUND: { message: "there is no backup {name}", status: 404 },
  BAN_EXISTS: { message: "{as} {who} is banned already", status: 400 },
  BRIDGE_EXISTS: { message: "there is a bridge named {name} already", status: 400 },
  BRIDGE_NOT_FOUND: { message: "there is no bridge named {name}", status: 404 },
  CLIENT_NOT_FOUND: { message: "client {clientId} is not connected", status: 404 },
  COMMAND_LINE_INVALID: { message: "command line: {argument}: {reason}", status: 400 },
  CONFIG_CHECK_FAILED: { message: "{key}: {value} cannot be used: {reason}", status: 400 },
  CONFIG_FILE_UNREADABLE: {
    message: "configuration file {path} cannot be read: {reason}",
    status: 500,
  },
  CONFIG_KEY_UNKNOWN: {
    message: "{key}: unknown key with value {value} in {source}; {hint}",
    status: 400,
  },
  CONFIG_OLDER: {
    message:
      "provisioning.serial: {value} is older than the configuration in force, which has {inForce}",
    status: 400,
  },
  CONFIG_SYNTAX: { message: "{path} is not valid YAML: {reason}", status: 400 },
  CONFIG_VALUE_INVALID: {
    message: "{key}: {value} is not valid in {source}; expected {expected}",
    status: 400,
  },
  CONFIG_WRITE_FAILED: {
    message: "the configuration could not be written to {path}: {reason}",
    status: 500,
  },
  FIELD_DEVICE_EXISTS: { message: "there is a {kind} named {name} already", status: 409 },
  FIELD_DEVICE_NOT_FOUND: { message: "there is no {kind} named {name}", status: 404 },
  LIMIT_REACHED: { message: "there are {max} {what} already, which is the limit", status: 400 },
  LISTENER_BIND_FAILED: {
    message: "listener {listener} cannot listen on {bind} port {tcpPort}: {reason}",
    status: 500,
  },
  LISTENER_EXISTS: { message: "there is a listener {id} already", status: 400 },
  LISTENER_NOT_FOUND: { message: "there is no listener {id}", status: 404 },
  MESSAGE_TOO_LARGE: {
    message: "a message of {bytes} bytes is larger than the {maxBytes} bytes a packet may have",
    status: 400,
  },
  MQTT_CLIENT_ID_INVALID: {
    message: "client id {value} is not valid: {reason}",
    status: 400,
  },
  MQTT_FILTER_INVALID: { message: "topic filter {value} is not valid: {reason}", status: 400 },
  MQTT_QOS_INVALID: { message: "QoS {value} is not valid; expected 0, 1 or 2", status: 400 },
  MQTT_TOPIC_INVALID: { message: "topic {value} is not valid: {reason}", status: 400 },
  MQTT_USERS_FULL: { message: "there cannot be more than {max} users", status: 400 },
  MQTT_USER_EXISTS: { message: "there is a user {userId} already", status: 409 },
  MQTT_USER_NOT_FOUND: { message: "there is no user {userId}", status: 404 },
  PARAMETER_INVALID: { message: "{field}: {value} is not valid; expected {expected}", status: 400 },
  PARAMETER_MISSING: { message: "{field} is missing; expected {expected}", status: 400 },
  PAYLOAD_NOT_BASE64: { message: "the payload {value} is not base64", status: 400 },
  REGEX_INVALID: { message: "regular expression {value} is not valid: {reason}", status: 400 },
  STORE_FULL: {
    message: "the store takes no more messages: {reason}",
    status: 507,
  },
  STORE_IN_USE: { message: "the store at {path} is in use by another process", status: 500 },
  STORE_OPEN_FAILED: { message: "the store at {path} cannot be opened: {reason}", status: 500 },
  STORE_READ_FAILED: { message: "the store could not be read: {reason}", status: 500 },
  STORE_WRITE_FAILED: { message: "the store could not be written: {reason}", status: 500 },
  SUBSCRIPTION_DENIED: {
    message: "client {clientId} may not subscribe to {filter}: {reason}",
    status: 400,
  },
  UPDATE_CUT_SHORT: { message: "the update did not come in whole: {reason}", status: 400 },
  UPDATE_DOWNLOAD_FAILED: { message: "{url} cannot be downloaded: {reason}", status: 400 },
  UPDATE_NO_APPLIANCE: {
    message: "this gateway does not run on an appliance, so there is no system to update",
    status: 404,
  },
  UPDATE_NO_SPACE: {
    message: "there is not enough space for the update; {needed} bytes and a reserve are needed",
    status: 400,
  },
  UPDATE_TOO_LARGE: { message: "an update has at most {max} bytes", status: 400 },
  UPDATE_UNDER_WAY: { message: "another update is under way: {state}", status: 409 },
  USER_INVALID: { message: "user: {field} is not valid; expected {expected}", status: 400 },
  USER_LIMIT: { message: "there are {max} users already", status: 400 },
  USER_NAME_TAKEN: { message: "username_already_exists: {username}", status: 400 },
  USER_NOT_CHANGEABLE: { message: "user {username} cannot be changed so: {reason}", status: 400 },
  USER_NOT_FOUND: { message: "there is no user named {username}", status: 404 },
  USER_PASSWORD_WRONG: { message: "the old password of {username} is another one", status: 400 },
} as const satisfies Readonly<Record<string, CatalogueRow>>;

interface CatalogueRow {
  readonly message: string;
  readonly status: number;
}

/** A stable error code, as it stands in logs and API answers. */
export type ErrorCode = keyof typeof CATALOGUE;

type Placeholders<T extends string> = T extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Placeholders<Rest>
  : never;

/** The values a code's message is made of. */
export type ErrorDetails<C extends ErrorCode> = {
  readonly [K in Placeholders<(typeof CATALOGUE)[C]["message"]>]: unknown;
};
