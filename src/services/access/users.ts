import type { Config } from "../../config/index.ts";
import { GatewayError } from "../../errors/index.ts";
import type { Configuration } from "../configuration/index.ts";

export type UserRole = "administrator" | "viewer";

/** A user of the API and its pages, as it may be shown. */
export interface User {
  readonly username: string;
  readonly description: string;
  readonly role: UserRole;
}

/** What a login needs of a user. */
export interface StoredUser extends User {
  /** A hash, or clear text where the operator wrote it; null while there is none. */
  readonly storedPassword: string | null;
}

/**
 * The users: the administrator, whose name and password are `http.username` and `http.password`, and
 * those of `dashboard.users`. Changes apply at once.
 */
export interface Users {
  list(): readonly User[];
  find(username: string): StoredUser | undefined;
  /** @throws GatewayError USER_INVALID, USER_NAME_TAKEN, USER_LIMIT, CONFIG_WRITE_FAILED */
  create(user: User, password: string): Promise<User>;
  /** @throws GatewayError USER_NOT_FOUND, USER_NOT_CHANGEABLE (the administrator's role), CONFIG_WRITE_FAILED */
  update(user: User): Promise<User>;
  /** @throws GatewayError USER_NOT_FOUND, USER_NOT_CHANGEABLE (the administrator), CONFIG_WRITE_FAILED */
  remove(username: string): Promise<void>;
  /**
   * Sets a password; that the old one is known is for the caller to check.
   * @throws GatewayError USER_NOT_FOUND, USER_INVALID (too weak), CONFIG_WRITE_FAILED, CONFIG_CHECK_FAILED
   * (the environment sets it)
   */
  setPassword(username: string, password: string): Promise<void>;
}

const MAX_USERS = 100;
const NAME = /^[A-Za-z0-9_]{1,100}$/;
const PASSWORD = /^[\x20-\x7e]{8,64}$/;
const KINDS = [/[A-Za-z]/, /\d/, /[^A-Za-z0-9]/];

type UserRecord = Config["dashboard"]["users"][number];

export function createUsers(deps: {
  readonly configuration: Pick<Configuration, "change" | "current">;
}): Users {
  const { configuration } = deps;

  const all = ({ http, dashboard }: Config): readonly StoredUser[] => [
    {
      username: http.username,
      description: http.description,
      role: "administrator",
      storedPassword: http.password,
    },
    ...dashboard.users.map(
      ({ username, description, role, password }): StoredUser => ({
        username,
        description,
        role,
        storedPassword: password,
      }),
    ),
  ];

  const find = (username: string, config = configuration.current()) =>
    all(config).find((user) => user.username === username);

  const get = (username: string, config = configuration.current()): StoredUser => {
    const user = find(username, config);
    if (user === undefined) throw new GatewayError("USER_NOT_FOUND", { username });
    return user;
  };

  const change = (draft: (stored: Config) => Readonly<Record<string, unknown>>) =>
    configuration.change(async (stored) => ({ patch: draft(stored), pems: {} }), { force: false });

  const withUsers = (users: readonly UserRecord[]) => ({ dashboard: { users } });

  return {
    list: () => all(configuration.current()).map(shown),
    find: (username) => find(username),

    async create(user, password) {
      if (!NAME.test(user.username)) {
        throw invalid("username", "letters, digits and _, at most 100");
      }
      checkPassword(password);
      await change((stored) => {
        const { users } = stored.dashboard;
        const { username } = user;
        if (find(username, stored) !== undefined) {
          throw new GatewayError("USER_NAME_TAKEN", { username });
        }
        if (users.length >= MAX_USERS) throw new GatewayError("USER_LIMIT", { max: MAX_USERS });
        return withUsers([...users, { ...user, password }]);
      });
      return shown(get(user.username));
    },

    async update({ username, role, description }) {
      await change((stored) => {
        get(username, stored);
        if (username !== stored.http.username) {
          return withUsers(
            stored.dashboard.users.map((one) =>
              one.username === username ? { ...one, role, description } : one,
            ),
          );
        }
        if (role !== "administrator") {
          const reason = "it is the default administrator";
          throw new GatewayError("USER_NOT_CHANGEABLE", { username, reason });
        }
        return { http: { description } };
      });
      return shown(get(username));
    },

    async remove(username) {
      await change((stored) => {
        get(username, stored);
        if (username === stored.http.username) {
          const reason = "it is the default administrator";
          throw new GatewayError("USER_NOT_CHANGEABLE", { username, reason });
        }
        return withUsers(stored.dashboard.users.filter((one) => one.username !== username));
      });
    },

    async setPassword(username, password) {
      checkPassword(password);
      await change((stored) => {
        get(username, stored);
        if (username === stored.http.username) return { http: { password } };
        return withUsers(
          stored.dashboard.users.map((one) =>
            one.username === username ? { ...one, password } : one,
          ),
        );
      });
    },
  };
}

function checkPassword(password: string): void {
  if (PASSWORD.test(password) && KINDS.filter((kind) => kind.test(password)).length >= 2) return;
  const expected = "8 to 64 printable ASCII characters with two of letters, digits and others";
  throw invalid("password", expected);
}

function invalid(field: string, expected: string): GatewayError {
  return new GatewayError("USER_INVALID", { field, expected });
}

function shown({ username, description, role }: StoredUser): User {
  return { username, description, role };
}
