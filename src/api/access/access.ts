import { createPublicKey, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Config } from "../../config/index.ts";
import type { Log } from "../../log/index.ts";
import type { Clock } from "../../time/index.ts";
import { type CheckHeader, createBasicCheck } from "./basic.ts";
import { createGuessBrake } from "./guessing.ts";
import { createTokenCheck } from "./token.ts";

export interface AccessDeps {
  readonly log: Log;
  readonly clock: Clock;
  verifyPassword(clear: string, stored: string): Promise<boolean>;
  /** The administrator's name and password as they are now. */
  administrator(): Pick<Config["http"], "username" | "password">;
}

/** Who may use `/api/v1` and `/api/v4` (reference §1.5). */
export interface Access {
  /** Reads the token key. An unreadable one refuses every token and is logged. */
  start(): Promise<void>;
  /** Judges an Authorization header: null = come in, else NanoMQ's result code. */
  readonly check: CheckHeader;
  /** Value of `WWW-Authenticate` on a refusal. */
  readonly challenge: string;
}

export function createAccess(deps: AccessDeps, http: Config["http"]): Access {
  if (http.auth_type === "basic") {
    const brake = createGuessBrake(deps.clock);
    return {
      start: async () => undefined,
      check: createBasicCheck({ ...deps, brake }, () => deps.administrator()),
      challenge: 'Basic realm="Tidegate", charset="UTF-8"',
    };
  }
  const path = http.jwt_public_key_file;
  let key: KeyObject | null = null;
  return {
    async start() {
      if (path === null) {
        deps.log.error("http.auth_type is jwt without http.jwt_public_key_file: nobody can log in");
        return;
      }
      try {
        key = createPublicKey(await readFile(path));
      } catch (err) {
        deps.log.error({ err, path }, "the token key cannot be read: nobody can log in");
      }
    },
    check: createTokenCheck(deps.clock, basename(path ?? ""), () => key),
    challenge: 'Bearer realm="Tidegate"',
  };
}
