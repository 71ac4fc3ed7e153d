import type { Peer } from "../mqtt/index.ts";

/** Verifies who a client is. */
export interface Authenticator {
  /**
   * The verdict on a CONNECT; `username` and `password` are null when it has none. A rejection
   * refuses the client with "server unavailable".
   */
  authenticate(request: {
    clientId: string;
    username: string | null;
    password: Buffer | null;
    peer: Peer;
  }): Promise<"accepted" | "bad_credentials" | "not_authorized">;
}

/** Decides what a client may use. */
export interface Authorizer {
  /** What happens to a PUBLISH that is denied: dropped and acknowledged, or the client closed. */
  readonly denyAction: "ignore" | "disconnect";
  /**
   * Changes whenever an answer may have changed. With it the engine asks once for each client and
   * topic and remembers the answer until the number changes; without it, for every message.
   */
  revision?(): number;
  /** `topic` is the topic of a PUBLISH or will, or the filter of a SUBSCRIBE. Must be quick. */
  authorize(request: {
    clientId: string;
    username: string | null;
    address: string;
    action: "publish" | "subscribe";
    topic: string;
  }): boolean;
}
