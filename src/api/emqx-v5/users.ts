import type { Services, User } from "../../services/index.ts";
import { API_VERSION, ApiError, noContent, ok, type Route, route } from "./kit/index.ts";
import type { Login } from "./login.ts";

const ROLE = {
  type: "string",
  enum: ["administrator", "viewer"],
  description: "What the user may do: everything, or look.",
  example: "viewer",
} as const;
const USERNAME = {
  type: "string",
  description: "Letters, digits and `_`, at most 100.",
  example: "operator",
} as const;
const DESCRIPTION = { type: "string", description: "Free text.", example: "shift lead" } as const;
const PASSWORD = {
  type: "string",
  description: "8 to 64 printable ASCII characters with two of letters, digits and others.",
  example: "s3cret-Word",
} as const;

const USER = {
  type: "object",
  properties: {
    username: USERNAME,
    description: DESCRIPTION,
    role: ROLE,
    backend: { type: "string", description: "Where the user is kept.", example: "local" },
  },
  required: ["username", "description", "role", "backend"],
} as const;

const TOKEN = {
  type: "object",
  properties: {
    token: { type: "string", description: "To be sent as `Authorization: Bearer`." },
    version: {
      type: "string",
      description: "Release of EMQX whose API this is.",
      example: "5.8.4",
    },
    license: {
      type: "object",
      properties: { edition: { type: "string", example: "opensource" } },
      required: ["edition"],
    },
    role: ROLE,
  },
  required: ["token", "version", "license", "role"],
} as const;

const common = { section: "5.1", priority: "P1", test: "src/api/emqx-v5/users.test.ts" } as const;
const tag = "Users";

/** `/login`, `/logout` and `/users` (reference §5.1). */
export function userRoutes({ users }: Pick<Services, "users">, login: Login): readonly Route[] {
  const changePassword = (method: "POST" | "PUT") =>
    route({
      ...common,
      method,
      path: "/users/{username}/change_pwd",
      tag,
      summary: "Change a password",
      description: "All tokens of the user end. A viewer may change its own.",
      access: "own",
      ...(method === "PUT" ? { isAlias: true } : {}),
      schema: {
        body: {
          type: "object",
          properties: {
            old_pwd: {
              type: "string",
              description: "The present password.",
              example: PASSWORD.example,
            },
            new_pwd: { ...PASSWORD, example: "an0ther-Word" },
          },
          required: ["old_pwd", "new_pwd"],
        },
        answers: { 204: null },
      },
      async handle({ params: { username }, body, caller, address }) {
        if (caller.role !== "administrator" && caller.name !== username) {
          throw new ApiError(403, "UNAUTHORIZED_ROLE", "No permission for this resource");
        }
        if (users.find(username) === undefined) {
          throw new ApiError(404, "USER_NOT_FOUND", "User not found");
        }
        if (!(await login.isPassword({ username, password: body.old_pwd, address }))) {
          throw new ApiError(400, "ERROR_PWD_NOT_MATCH", "Old password not match");
        }
        if (body.old_pwd === body.new_pwd) {
          throw new ApiError(400, "BAD_REQUEST", "The new password is the old one");
        }
        await users.setPassword(username, body.new_pwd);
        return noContent();
      },
    });

  return [
    route({
      ...common,
      method: "POST",
      path: "/login",
      tag,
      summary: "Log in",
      description:
        "A token for the user, which lives for an hour after its last use. Wrong passwords make the next answers slow.",
      access: "public",
      schema: {
        body: {
          type: "object",
          properties: {
            username: { ...USERNAME, example: "admin" },
            password: { type: "string", description: "The password.", example: "public" },
          },
          required: ["username", "password"],
        },
        answers: { 200: TOKEN },
      },
      async handle({ body: { username, password }, address }) {
        const result = await login.logIn({ username, password, address });
        if (result === null) throw new ApiError(401, "BAD_USERNAME_OR_PWD", "Auth failed");
        const license = { edition: "opensource" };
        return ok({ ...result, version: API_VERSION, license });
      },
    }),
    route({
      ...common,
      method: "POST",
      path: "/logout",
      tag,
      summary: "Log out",
      description: "Ends the token the request came with.",
      access: "own",
      schema: {
        body: {
          type: "object",
          properties: { username: { ...USERNAME, example: "admin" } },
          required: ["username"],
        },
        answers: { 204: null },
      },
      handle({ body, caller, header }) {
        if (body.username !== caller.name) {
          throw new ApiError(401, "WRONG_TOKEN_OR_USERNAME", "The token is another user's");
        }
        login.logOut(header("authorization"));
        return noContent();
      },
    }),
    route({
      ...common,
      method: "GET",
      path: "/users",
      tag,
      summary: "List the users",
      access: "bearer",
      schema: { answers: { 200: { type: "array", items: USER } } },
      handle: () => ok(users.list().map(shown)),
    }),
    route({
      ...common,
      method: "POST",
      path: "/users",
      tag,
      summary: "Add a user",
      access: "bearer",
      schema: {
        body: {
          type: "object",
          properties: {
            username: USERNAME,
            password: PASSWORD,
            description: { ...DESCRIPTION, default: "" },
            role: { ...ROLE, default: "administrator" },
          },
          required: ["username", "password"],
        },
        answers: { 200: USER },
      },
      async handle({ body: { password, username, description, role } }) {
        return ok(shown(await users.create({ username, description, role }, password)));
      },
    }),
    route({
      ...common,
      method: "PUT",
      path: "/users/{username}",
      tag,
      summary: "Change a user",
      description: "A changed role ends the user's tokens. The administrator's role stays.",
      access: "bearer",
      schema: {
        body: {
          type: "object",
          properties: { role: ROLE, description: DESCRIPTION },
          required: ["role", "description"],
        },
        answers: { 200: USER },
      },
      async handle({ params: { username }, body: { role, description } }) {
        return ok(shown(await users.update({ username, role, description })));
      },
    }),
    route({
      ...common,
      method: "DELETE",
      path: "/users/{username}",
      tag,
      summary: "Remove a user",
      description: "Neither the administrator nor oneself.",
      access: "bearer",
      schema: { answers: { 204: null } },
      async handle({ params: { username }, caller }) {
        if (caller.name === username) {
          throw new ApiError(400, "NOT_ALLOWED", "Cannot delete self");
        }
        await users.remove(username);
        return noContent();
      },
    }),
    changePassword("POST"),
    changePassword("PUT"),
  ];
}

function shown({ username, description, role }: User) {
  return { username, description, role, backend: "local" };
}
