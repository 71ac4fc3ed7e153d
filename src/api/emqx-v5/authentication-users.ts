import type { MqttUser } from "../../services/index.ts";
import type { AuthenticationServices } from "./authentication.ts";
import { AUTHENTICATOR_ID } from "./authentication-schemas.ts";
import {
  ApiError,
  created,
  noContent,
  ok,
  PAGE_QUERY,
  pageSchema,
  paginate,
  type Route,
  route,
} from "./kit/index.ts";
import { readImport, readImportFile } from "./user-import.ts";

const USER_ID = {
  type: "string",
  minLength: 1,
  maxLength: 1024,
  description: "User name or client id, as the authenticator's `user_id_type` says.",
  example: "device-001",
} as const;
const PASSWORD = {
  type: "string",
  minLength: 1,
  maxLength: 4096,
  description: "Password in clear; only its hash is kept.",
  example: "a-long-secret",
} as const;
const IS_SUPERUSER = {
  type: "boolean",
  description: "Whether no access rule holds for this user.",
  example: false,
} as const;

const USER = {
  type: "object",
  properties: { user_id: USER_ID, is_superuser: IS_SUPERUSER },
  required: ["user_id", "is_superuser"],
} as const;

const count = (description: string) => ({ type: "integer", description, example: 0 }) as const;

const IMPORTED = {
  type: "object",
  properties: {
    total: count("Rows of the file."),
    success: count("Users that were new."),
    override: count("Users that were there and were replaced."),
    skipped: count("None: users that are there are replaced."),
    failed: count("None: a row that cannot be used refuses the whole import."),
  },
  required: ["total", "success", "override", "skipped", "failed"],
} as const;

const IMPORT_ROW = {
  type: "object",
  properties: {
    user_id: USER_ID,
    password: PASSWORD,
    password_hash: {
      type: "string",
      description: "Hash as the authenticator's algorithm makes it.",
      example: "44edc2d57cde8d79c98145003e105b90a14f1460b79186ea9cfe83942fc5abb5",
    },
    salt: { type: "string", description: "The hash's salt.", example: "slat_foo123" },
    is_superuser: { anyOf: [{ type: "boolean" }, { type: "string" }] },
  },
  required: ["user_id"],
} as const;

/** Room for some 100,000 users with their hashes. */
const MAX_IMPORT_BYTES = 16 * 1024 * 1024;

const common = {
  tag: "Authentication",
  section: "5.10.1",
  priority: "P2",
  test: "src/api/emqx-v5/authentication.test.ts",
} as const;

/**
 * The users of an authenticator.
 * @param mustExist throws the 404 of an authenticator that there is not
 */
export function authenticationUserRoutes(
  { mqttAccess }: Pick<AuthenticationServices, "mqttAccess">,
  mustExist: (id: string) => unknown,
): readonly Route[] {
  const usersOf = (id: string) => {
    mustExist(id);
    return mqttAccess.users();
  };
  return [
    route({
      ...common,
      method: "GET",
      path: "/authentication/{id}/users",
      summary: "List the users",
      schema: {
        query: {
          type: "object",
          properties: {
            ...PAGE_QUERY,
            like_user_id: {
              type: "string",
              maxLength: 1024,
              description: "Part of the name.",
              example: "device-",
            },
            is_superuser: { type: "boolean", description: "Superusers only, or others only." },
          },
        },
        answers: { 200: pageSchema(USER) },
      },
      async handle({ params, query }) {
        const users = usersOf(params.id);
        const { like_user_id: part, is_superuser: wanted } = query;
        if (part === undefined && wanted === undefined) {
          const options = { isCountKnown: true, count: users.size, pick: shown };
          return ok(await paginate(users.list(), query, options));
        }
        const where = ({ userId, isSuperuser }: MqttUser) =>
          (part === undefined || userId.includes(part)) &&
          (wanted === undefined || isSuperuser === wanted);
        const options = { isCountKnown: part === undefined, where, pick: shown };
        return ok(await paginate(users.list(), query, options));
      },
    }),
    route({
      ...common,
      method: "POST",
      path: "/authentication/{id}/users",
      summary: "Add a user",
      schema: {
        body: {
          type: "object",
          properties: {
            user_id: USER_ID,
            password: PASSWORD,
            is_superuser: { ...IS_SUPERUSER, default: false },
          },
          required: ["user_id", "password"],
          additionalProperties: false,
        },
        answers: { 201: USER },
      },
      async handle({ params, body }) {
        const { user_id: userId, password, is_superuser: isSuperuser = false } = body;
        await usersOf(params.id).create({ userId, password, isSuperuser });
        return created(shown({ userId, isSuperuser }));
      },
    }),
    route({
      ...common,
      method: "GET",
      path: "/authentication/{id}/users/{user_id}",
      summary: "One user",
      schema: { answers: { 200: USER } },
      handle({ params }) {
        const user = usersOf(params.id).get(params.user_id);
        if (user === null) {
          throw new ApiError(404, "NOT_FOUND", `there is no user ${params.user_id}`);
        }
        return ok(shown(user));
      },
    }),
    route({
      ...common,
      method: "PUT",
      path: "/authentication/{id}/users/{user_id}",
      summary: "Change a user",
      description:
        "Counts for the next CONNECT; a session that is up stays. Without `is_superuser` the user is none.",
      schema: {
        body: {
          type: "object",
          properties: { user_id: USER_ID, password: PASSWORD, is_superuser: IS_SUPERUSER },
          additionalProperties: false,
        },
        answers: { 200: USER },
      },
      async handle({ params, body }) {
        const { password = null, is_superuser: isSuperuser } = body;
        const users = usersOf(params.id);
        if (password === null && isSuperuser === undefined) {
          throw new ApiError(400, "BAD_REQUEST", "password or is_superuser is needed");
        }
        const userId = params.user_id;
        if (body.user_id !== undefined && body.user_id !== userId) {
          throw new ApiError(400, "BAD_REQUEST", "user_id cannot be changed");
        }
        await users.update(userId, { password, isSuperuser: isSuperuser ?? false });
        return ok(shown({ userId, isSuperuser: isSuperuser ?? false }));
      },
    }),
    route({
      ...common,
      method: "DELETE",
      path: "/authentication/{id}/users/{user_id}",
      summary: "Remove a user",
      description: "The next CONNECT is refused; a session that is up stays until it is closed.",
      schema: { answers: { 204: null } },
      async handle({ params }) {
        await usersOf(params.id).delete(params.user_id);
        return noContent();
      },
    }),
    route({
      ...common,
      method: "POST",
      path: "/authentication/{id}/import_users",
      summary: "Add or replace many users",
      description: `A file (CSV or JSON, up to 16 MiB) in a form, or a JSON list. All rows or none. CSV names its columns in the first line: \`user_id,password_hash,salt,is_superuser\` or, with \`type=plain\`, \`user_id,password,is_superuser\`. Example id: ${AUTHENTICATOR_ID}.`,
      consumes: ["json", "file"],
      maxBodyBytes: MAX_IMPORT_BYTES,
      schema: {
        query: {
          type: "object",
          properties: {
            type: {
              type: "string",
              enum: ["hash", "plain"],
              default: "hash",
              description: "Whether the rows hold hashes or passwords in clear.",
            },
          },
        },
        body: { type: "array", items: IMPORT_ROW, maxItems: 10_000 },
        answers: { 200: IMPORTED },
      },
      async handle({ params, query, body, file }) {
        const users = usersOf(params.id);
        const kind = query.type ?? "hash";
        const rows =
          file === null ? await readImport(body, kind) : await readImportFile(file, kind);
        return ok({ ...(await users.import(rows)), skipped: 0, failed: 0 });
      },
    }),
  ];
}

function shown({ userId, isSuperuser }: MqttUser) {
  return { user_id: userId, is_superuser: isSuperuser };
}
