/**
 * Whom a statement binds: `server` and `both` need a test or a reason why there is none;
 * `client-observable` binds the client, and the server's answer to one that breaks it needs a test;
 * `client` has nothing a server could answer.
 */
export type Bound = "server" | "both" | "client-observable" | "client";

/** One normative statement of the specification's Appendix B. */
export interface Statement {
  readonly id: string;
  /** What it asks for, in our words. */
  readonly says: string;
  readonly binds: Bound;
  /** Why nothing of it can be seen from outside this server; null where a test shows it. */
  readonly unseen: string | null;
}

export function server(id: string, says: string, unseen: string | null = null): Statement {
  return { id, says, binds: "server", unseen };
}

export function both(id: string, says: string, unseen: string | null = null): Statement {
  return { id, says, binds: "both", unseen };
}

export function clientObservable(id: string, says: string): Statement {
  return { id, says, binds: "client-observable", unseen: null };
}

export function client(id: string, says: string): Statement {
  return { id, says, binds: "client", unseen: null };
}
