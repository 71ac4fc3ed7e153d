import type { Log } from "../../log/index.ts";
import type { Services } from "../../services/index.ts";
import type { Clock } from "../../time/index.ts";
import {
  basicPairOf,
  createCredentials,
  createUserTokens,
  credentialsOf,
} from "../access/index.ts";
import { ApiError, type Caller, type CheckAccess } from "./kit/index.ts";

export interface LoginDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly services: Pick<Services, "apiKeys" | "users" | "configuration">;
  verifyPassword(clear: string, stored: string): Promise<boolean>;
}

/** A user's name and password, as they came. */
export interface UserLogin {
  readonly username: string;
  readonly password: string;
  readonly address: string;
}

/** Who may come in: API keys by Basic, users by tokens (reference §2). */
export interface Login {
  readonly checkAccess: CheckAccess;
  /** A token for a user; null for an unknown one and a wrong password alike. */
  logIn(login: UserLogin): Promise<{ token: string; role: Caller["role"] } | null>;
  /** Whether this is the user's password; guessing is slowed as for `logIn`. */
  isPassword(login: UserLogin): Promise<boolean>;
  /** Ends the token of an `Authorization` header. */
  logOut(authorization: string | undefined): void;
}

export function createLogin(deps: LoginDeps): Login {
  const { apiKeys, users, configuration } = deps.services;
  const credentials = createCredentials(deps);
  const lifeMs = configuration.running().dashboard.token_expired_time_s * 1000;
  const tokens = createUserTokens({ clock: deps.clock, find: users.find }, lifeMs);

  async function keyOf(encoded: string, address: string): Promise<Caller> {
    const pair = basicPairOf(encoded);
    const key = pair === null ? undefined : apiKeys.find(pair.name);
    const isRight =
      pair !== null &&
      (await credentials.check({
        account: `key ${pair.name}`,
        secret: pair.secret,
        stored: key?.storedSecret ?? null,
        address,
      }));
    if (!isRight || key === undefined || !key.enable || key.isExpired) {
      throw new ApiError(401, "BAD_API_KEY_OR_SECRET", "Check api_key/api_secret");
    }
    return { kind: "key", name: key.name, role: key.role };
  }

  function userOf(token: string): Caller {
    const user = tokens.check(token);
    if (user === "expired") {
      throw new ApiError(401, "TOKEN_TIME_OUT", "The token has expired, log in again");
    }
    if (user === "unknown") {
      throw new ApiError(401, "BAD_TOKEN", "Get a token by POST /login");
    }
    return { kind: "user", name: user.username, role: user.role };
  }

  async function isPassword({ username, password, address }: UserLogin): Promise<boolean> {
    return credentials.check({
      account: `user ${username}`,
      secret: password,
      stored: users.find(username)?.storedPassword ?? null,
      address,
    });
  }

  return {
    async checkAccess({ authorization, address, method, access }) {
      if (access === "public") return { kind: "public", name: "", role: "viewer" };
      const key = credentialsOf(authorization, "basic");
      const token = credentialsOf(authorization, "bearer");
      if (key === null && token === null) {
        const message = "Support authorization: basic api_key:api_secret, or bearer token";
        throw new ApiError(401, "AUTHORIZATION_HEADER_ERROR", message);
      }
      if (token === null && (access === "bearer" || access === "own")) {
        const message = "API keys may not be used here, log in for a bearer token";
        throw new ApiError(401, "API_KEY_NOT_ALLOW", message);
      }
      const caller = token === null ? await keyOf(key ?? "", address) : userOf(token);
      if (isAllowed(caller, method, access)) return caller;
      throw new ApiError(403, "UNAUTHORIZED_ROLE", "No permission for this resource");
    },

    async logIn(login) {
      if (!(await isPassword(login))) return null;
      // The password is right, so the user was there; it may have been removed meanwhile.
      const user = users.find(login.username);
      return user === undefined ? null : { token: tokens.issue(user), role: user.role };
    },
    isPassword,
    logOut(authorization) {
      tokens.destroy(credentialsOf(authorization, "bearer") ?? "");
    },
  };
}

/** The matrix of reference §2.3; what is `own` the handler judges. */
function isAllowed(
  { role }: Caller,
  method: string,
  access: Parameters<CheckAccess>[0]["access"],
): boolean {
  switch (role) {
    case "administrator":
      return true;
    case "viewer":
      return method === "GET" || access === "own";
    case "publisher":
      return access === "publish";
  }
}
