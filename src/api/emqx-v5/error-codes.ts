import { ApiError, ok, type Route, route } from "./kit/index.ts";

/** Codes and what they mean (reference §4.3, §4.4). */
const DESCRIPTIONS: Readonly<Record<string, string>> = {
  ALREADY_EXISTS: "Resource already exists",
  API_KEY_NOT_ALLOW: "API keys are not allowed here, log in for a bearer token",
  AUTHORIZATION_HEADER_ERROR: "No basic or bearer authorization header",
  BAD_API_KEY_OR_SECRET: "Bad API key or secret",
  BAD_CONFIG_SCHEMA: "Configuration data is not valid",
  BAD_LISTENER_ID: "Bad listener ID",
  BAD_NODE_NAME: "Bad node name",
  BAD_REQUEST: "Request parameters are not legal",
  BAD_RPC: "RPC failed, check the node",
  BAD_TOKEN: "Bad token, log in again",
  BAD_TOPIC: "Topic syntax error",
  BAD_USERNAME_OR_PWD: "Bad username or password",
  CLIENTID_NOT_FOUND: "Client ID not found",
  CLIENT_NOT_FOUND: "Client not found",
  CLIENT_NOT_RESPONSE: "Client is not responding",
  CLIENT_SHUTDOWN: "Client connection is ending",
  CONFLICT: "Conflicting request resources",
  DEPENDENCY_EXISTS: "Resource is depended on",
  DUPLICATE_CONDITION: "Duplicated condition",
  ERROR_PWD_NOT_MATCH: "The old password is another one",
  EXCEED_LIMIT: "More resources than the limit",
  INTERNAL_ERROR: "Server inner error",
  INVALID_ACCEPT: "The accepted type cannot be had",
  INVALID_ID: "Bad ID schema",
  INVALID_NODE: "No such node",
  INVALID_PARAMETER: "Request parameters are not legal or exceed the bounds",
  INVALID_PARAMS: "Invalid parameters",
  INVALID_TOPIC_NAME: "Invalid topic name",
  LOGIN_LOCKED: "Too many failed logins",
  MESSAGE_ID_NOT_FOUND: "Message ID does not exist",
  MESSAGE_ID_SCHEMA_ERROR: "Message ID cannot be read",
  MESSAGE_NOT_FOUND: "No such message",
  NODE_DOWN: "Node is not running",
  NOT_ALLOWED: "The operation is not allowed",
  NOT_FOUND: "Resource was not found or does not exist",
  NOT_IMPLEMENTED: "Not implemented",
  NOT_MATCH: "Conditions are not matched",
  NO_DEFAULT_VALUE: "Request parameters have no default value",
  RESET_FAILED: "Configuration reset failed",
  RESOURCE_NOT_FOUND: "Resource not found",
  REST_FAILED: "Configuration reset failed",
  SERVICE_UNAVAILABLE: "Service unavailable",
  SOURCE_ERROR: "Source error",
  TEST_FAILED: "The trial failed",
  TOKEN_TIME_OUT: "Token expired, log in again",
  TOPIC_NOT_FOUND: "Topic not found",
  UNAUTHORIZED_ROLE: "The role may not do this",
  UNSUPPORTED_MEDIA_TYPE: "Content type is not supported",
  UPDATE_FAILED: "Update failed",
  USER_NOT_FOUND: "Dashboard username not found",
  WRONG_TOKEN_OR_USERNAME: "Wrong token or username",
  WRONG_USERNAME_OR_PWD: "Wrong username or password (older name of BAD_USERNAME_OR_PWD)",
  WRONG_USERNAME_OR_PWD_OR_API_KEY_OR_API_SECRET:
    "Wrong username and password or key and secret (older name of BAD_API_KEY_OR_SECRET)",
};

const ROW = {
  type: "object",
  properties: {
    code: { type: "string", description: "The code.", example: "BAD_REQUEST" },
    description: {
      type: "string",
      description: "What it means.",
      example: "Request parameters are not legal",
    },
  },
  required: ["code", "description"],
} as const;

const common = {
  method: "GET",
  tag: "Error codes",
  section: "5.14",
  priority: "P3",
  access: "public",
  test: "src/api/emqx-v5/misc.test.ts",
} as const;

/** `/error_codes` (reference §4.4). */
export function errorCodeRoutes(): readonly Route[] {
  const codes = new Map(Object.entries(DESCRIPTIONS));
  return [
    route({
      ...common,
      path: "/error_codes",
      summary: "List the error codes",
      schema: { answers: { 200: { type: "array", items: ROW } } },
      handle: () => ok([...codes].map(([code, description]) => ({ code, description }))),
    }),
    route({
      ...common,
      path: "/error_codes/{code}",
      summary: "One error code",
      schema: { answers: { 200: ROW } },
      handle({ params: { code } }) {
        const description = codes.get(code);
        if (description === undefined) throw new ApiError(404, "NOT_FOUND", "Code not found");
        return ok({ code, description });
      },
    }),
  ];
}
