import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { vi } from "vitest";
import { createLog } from "../log/index.ts";
import type { Peer } from "../mqtt/index.ts";
import { type Clock, systemClock } from "../time/index.ts";
import { createListeners, type ListenersConfig } from "./index.ts";

/** Waits until `check` stops throwing; fails with its last error after 5 s. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: 5000, interval: 5 });
}

type Part<T> = { readonly [K in keyof T]?: T[K] extends object ? Part<T[K]> : T[K] };

/** A configuration with every listener off, on IPv4 loopback and port 0. */
export function configOf(part: Part<ListenersConfig> = {}): ListenersConfig {
  const door = {
    enable: false,
    bind: "127.0.0.1",
    port: 0,
    max_connections: 100,
    max_connects_per_s: null,
  };
  return {
    listeners: {
      tcp: { ...door, ...part.listeners?.tcp },
      tls: { ...door, ...part.listeners?.tls },
      ws: { ...door, path: "/mqtt", ...part.listeners?.ws },
      wss: { ...door, path: "/mqtt", ...part.listeners?.wss },
    },
    extra_listeners: {},
    tls: {
      key_file: null,
      cert_file: null,
      ca_file: null,
      key_password: null,
      verify_peer: false,
      fail_if_no_peer_cert: false,
      ...part.tls,
    },
    limits: {
      max_connections: 1000,
      max_connections_per_address: 500,
      max_connects_per_address_per_s: 100,
      ...part.limits,
    },
    mqtt: { connect_timeout_s: 10, max_packet_size_bytes: 1_048_576, ...part.mqtt },
  };
}

/** A connection as `onConnection` received it, with all bytes read so far. */
export interface Arrived {
  readonly stream: Duplex;
  readonly peer: Peer;
  readonly bytes: () => Buffer;
}

/** Listeners that echo nothing and note everything. */
export function harness(part: Part<ListenersConfig>, clock: Clock = systemClock) {
  const arrived: Arrived[] = [];
  const alarms = new Map<string, string>();
  const lines: Record<string, unknown>[] = [];
  const log = createLog({ level: "info" }, { write: (line) => void lines.push(JSON.parse(line)) });
  const listeners = createListeners(
    {
      log,
      clock,
      alarms: {
        raise: (name, message) => void alarms.set(name, message),
        clear: (name) => void alarms.delete(name),
      },
      onConnection(stream, peer) {
        const chunks: Buffer[] = [];
        stream.on("data", (chunk: Buffer) => chunks.push(chunk));
        arrived.push({ stream, peer, bytes: () => Buffer.concat(chunks) });
      },
    },
    configOf(part),
  );
  return {
    listeners,
    arrived,
    alarms,
    lines,
    portOf(name: string): number {
      const found = listeners.status().find((status) => status.name === name);
      if (found === undefined) throw new Error(`listener ${name} is not open`);
      return found.tcpPort;
    },
    statusOf: (name: string) => listeners.status().find((status) => status.name === name),
    arrival: (index = 0) =>
      eventually(() => {
        const entry = arrived[index];
        if (entry === undefined) throw new Error(`connection ${index} has not arrived`);
        return entry;
      }),
    async [Symbol.asyncDispose]() {
      await listeners.stop();
      for (const { stream } of arrived) stream.destroy();
    },
  };
}

/** A raw client; errors are expected, `closed` tells when it is over. */
export async function dial(
  tcpPort: number,
  options: { host?: string; localAddress?: string } = {},
) {
  const socket = connect({ host: "127.0.0.1", ...options, port: tcpPort });
  const chunks: Buffer[] = [];
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  await Promise.race([new Promise<void>((resolve) => socket.once("connect", resolve)), closed]);
  return { socket, closed, text: () => Buffer.concat(chunks).toString("latin1") };
}

export function isOpen(socket: Socket): boolean {
  return socket.readyState === "open";
}

/** Certificates made by openssl for one test file, in a directory that is removed afterwards. */
export function createPki() {
  const dir = mkdtempSync(join(tmpdir(), "tidegate-pki-"));
  const path = (name: string) => join(dir, name);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "pipe" });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

  /** A self-signed authority. */
  function authority(name: string) {
    const files = { key: path(`${name}.key`), cert: path(`${name}.pem`) };
    const out = ["-keyout", files.key, "-out", files.cert, "-subj", `/CN=${name}`, "-days", "2"];
    openssl("req", "-x509", ...newKey, ...out);
    return files;
  }

  /** A certificate by `issuer`, valid for `days` from now (negative: expired). */
  function certificate(
    name: string,
    issuer: { key: string; cert: string },
    options: { subject?: string; days?: number } = {},
  ) {
    const { subject = `/CN=${name}`, days = 2 } = options;
    const files = { key: path(`${name}.key`), cert: path(`${name}.pem`) };
    const request = path(`${name}.csr`);
    openssl("req", ...newKey, "-keyout", files.key, "-out", request, "-utf8", "-subj", subject);
    const by = ["-CA", issuer.cert, "-CAkey", issuer.key, "-CAcreateserial"];
    openssl("x509", "-req", "-in", request, ...by, "-days", String(days), "-out", files.cert);
    return files;
  }

  /** The same key under a passphrase. */
  function encrypted(key: string, passphrase: string): string {
    const out = `${key}.enc`;
    openssl("pkey", "-in", key, "-aes256", "-passout", `pass:${passphrase}`, "-out", out);
    return out;
  }

  return {
    path,
    authority,
    certificate,
    encrypted,
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}
