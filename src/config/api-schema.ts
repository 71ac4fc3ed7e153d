import { listOf, objectOf } from "./collections.ts";
import { bool, int, nullable, oneOf, type SchemaTree, text } from "./format.ts";
import { key } from "./key.ts";
import { host, path, port, secret } from "./schema-formats.ts";

/** The year 9999, in epoch seconds. */
const LAST_SECOND = 253_402_300_799;

const apiKey = objectOf("API key", {
  name: key(text(256, 1), "", "Name of the key."),
  api_key: key(text(1024, 1), "", "What is sent as the user name."),
  secret: key(secret, "", "scrypt hash, or clear text, of what is sent as the password.", {
    sensitive: true,
    hashed: true,
  }),
  role: key(
    oneOf(["administrator", "viewer", "publisher"]),
    "administrator",
    "What its holder may do.",
  ),
  enable: key(bool, true, "False refuses the key."),
  expired_at_s: key(
    nullable(int(0, LAST_SECOND)),
    null,
    "Epoch second it expires at; null = never.",
  ),
  created_at_s: key(int(0, LAST_SECOND), 0, "Epoch second it was made at."),
  desc: key(text(), "", "Description."),
} satisfies SchemaTree);

const dashboardUser = objectOf("user of the API", {
  username: key(text(100, 1), "", "User name."),
  password: key(secret, "", "scrypt hash, or clear text.", { sensitive: true, hashed: true }),
  role: key(oneOf(["administrator", "viewer"]), "administrator", "What the user may do."),
  description: key(text(), "", "Description."),
} satisfies SchemaTree);

/** The server of every HTTP API, and its administrator. */
export const http = {
  enable: key(bool, true, "Serve the HTTP API without TLS."),
  bind: key(host, "::", 'Address to listen on; "::" is every IPv4 and IPv6 address.'),
  port: key(port, 8081, "TCP port where NanoMQ's clients look."),
  emqx_port: key(
    nullable(port),
    18_083,
    "TCP port where EMQX's clients look, the same application; null = off.",
  ),
  username: key(text(256, 1), "admin", "Administrator's name."),
  password: key(
    nullable(secret),
    null,
    "Administrator's password: scrypt hash or clear text; null = made at the first start.",
    { reload: "live", sensitive: true, hashed: true },
  ),
  description: key(text(), "administrator", "What EMQX's API says of the administrator.", {
    reload: "live",
  }),
  auth_type: key(oneOf(["basic", "jwt"]), "basic", "How /api/v1 and /api/v4 know their callers."),
  jwt_public_key_file: key(
    nullable(path),
    null,
    "RSA public key (PEM) of the tokens; their issuer is this file's name.",
  ),
} satisfies SchemaTree;

/** The same application over TLS. */
export const https = {
  enable: key(bool, false, "Serve the HTTP API over TLS, with key and certificate of `tls`."),
  bind: key(host, "::", 'Address to listen on; "::" is every IPv4 and IPv6 address.'),
  port: key(port, 18_084, "TCP port; the default is where EMQX has it."),
} satisfies SchemaTree;

/** Programs that use EMQX's API. */
export const apiKeys = {
  bootstrap_file: key(
    nullable(path),
    null,
    "File of API keys that are taken over at every start, one a line: key:secret or key:secret:role.",
  ),
  keys: key(listOf(apiKey, 1000, "name"), [], "Keys of /api/v5, beside the tokens of its users.", {
    reload: "live",
  }),
} satisfies SchemaTree;

/** People who use EMQX's API. */
export const dashboard = {
  users: key(
    listOf(dashboardUser, 1000, "username"),
    [],
    "Users of /api/v5 beside the administrator, who is http.username.",
    { reload: "live" },
  ),
  token_expired_time_s: key(
    int(60, 31_536_000),
    3600,
    "A user's token ends after this long without a request, seconds.",
  ),
  swagger_support: key(bool, true, "Serve the API's documents below /api-docs."),
} satisfies SchemaTree;
