import { defaultsOf, mapOf, objectOf } from "./collections.ts";
import { bool, checkedText, int, nullable, type SchemaTree } from "./format.ts";
import { key } from "./key.ts";
import { host, path, port, secret } from "./schema-formats.ts";

const httpPath = checkedText("path", 'a path such as "/mqtt"', (value) =>
  /^\/[\w./~-]{0,254}$/.test(value),
);

const listener = (what: string, defaultPort: number, isOn: boolean) => ({
  enable: key(bool, isOn, `Accept ${what}.`),
  bind: key(host, "::", 'Address to listen on; "::" is every IPv4 and IPv6 address.'),
  port: key(port, defaultPort, "TCP port; 0 picks a free one, which the ready log line names."),
  max_connections: key(int(1, 1_000_000), 10_000, "Connections this listener holds at once."),
  max_connects_per_s: key(
    nullable(int(1, 1_000_000)),
    null,
    "New connections per second; null = no limit but those of `limits`.",
  ),
});

const webSocketListener = (what: string, defaultPort: number, isOn: boolean) => ({
  ...listener(what, defaultPort, isOn),
  path: key(httpPath, "/mqtt", "HTTP path of the WebSocket."),
});

/** What TLS and secure WebSocket listeners show of themselves and ask for. */
export const tls = {
  key_file: key(
    nullable(path),
    null,
    "Private key (PEM) of the TLS and secure WebSocket listeners.",
  ),
  cert_file: key(nullable(path), null, "Certificate chain (PEM)."),
  ca_file: key(
    nullable(path),
    null,
    "CA certificates (PEM) that client certificates are verified with.",
  ),
  key_password: key(nullable(secret), null, "Passphrase of the private key.", {
    sensitive: true,
  }),
  verify_peer: key(
    bool,
    false,
    "Ask clients for a certificate and refuse one that does not verify.",
  ),
  fail_if_no_peer_cert: key(bool, false, "With verify_peer: refuse clients without a certificate."),
} satisfies SchemaTree;

const extraListener = objectOf("listener", {
  ...webSocketListener("its connections", 0, true),
  tls: key(
    objectOf("listener TLS", tls),
    defaultsOf(tls),
    "TLS of an ssl or wss listener; without cert_file the group `tls` serves it.",
  ),
} satisfies SchemaTree);

/** The four listeners that are always there. */
export const listeners = {
  tcp: listener("MQTT over TCP", 1883, true),
  tls: listener("MQTT over TLS", 8883, false),
  ws: webSocketListener("MQTT over WebSocket", 8083, true),
  wss: webSocketListener("MQTT over secure WebSocket", 8084, false),
} satisfies SchemaTree;

/** Listeners beside the four. */
export const extraListeners = key(
  mapOf(extraListener, /^(?:tcp|ssl|ws|wss):[A-Za-z0-9][\w-]{0,63}$/, 64),
  {},
  'More listeners by type and name, for example "tcp:factory".',
);

/** What bounds all listeners together. */
export const limits = {
  max_connections: key(int(1, 1_000_000), 10_000, "Connections of all listeners together."),
  max_connections_per_address: key(
    int(1, 1_000_000),
    500,
    "Connections from one address; loopback is exempt.",
  ),
  max_connects_per_address_per_s: key(
    int(1, 1_000_000),
    100,
    "New connections per second from one address; loopback is exempt.",
  ),
} satisfies SchemaTree;
