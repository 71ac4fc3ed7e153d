import { randomBytes, timingSafeEqual } from "node:crypto";
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../log/index.ts";

/** The one account of the probe: who has it may use one topic and nothing else. */
const USERNAME = "$tidegate-probe";
const TOPIC = "$tidegate/probe";

const FILE = "probe";

/** A login as the broker asks for it. */
interface Login {
  readonly username: string | null;
  readonly password: Buffer | null;
}

/** What a client wants to use, as the broker asks for it. */
interface Use {
  readonly username: string | null;
  readonly topic: string;
  readonly qos: number;
  readonly retain: boolean;
}

interface Door {
  readonly host: string;
  readonly tcpPort: number;
  readonly isTls: boolean;
}

/** Where a program on the same device can try the gateway out. */
export interface ProbeDoors {
  readonly http: Door | null;
  /** A listener for MQTT over TCP, or over TLS where there is no other. */
  readonly mqtt: Door | null;
}

/** What the device's programs are told. */
export interface ProbeTerms extends ProbeDoors {
  /** How long a new version of the device has to be healthy before it is kept, s. */
  readonly healthyS: number;
}

/** Lets the device's health check go through the real doors without knowing anybody's password. */
export interface Probe {
  /** The verdict on the probe's own login; null for everybody else's. */
  login(login: Login): "accepted" | null;
  /** The verdict on the probe's own requests; null for everybody else's. */
  mayUse(use: Use): boolean | null;
  /**
   * Tells where to go and with which password, made for this start of the process: the file `probe` in
   * the run-time directory, readable by the gateway and root, NAME=value lines `http_host http_port
   * http_tls mqtt_host mqtt_port mqtt_tls username password topic healthy_s`; what is closed is empty.
   * Told again, the newest counts.
   */
  announce(terms: ProbeTerms): Promise<void>;
  /** Takes the file away. */
  stop(): Promise<void>;
}

/** @param directory systemd's `RUNTIME_DIRECTORY`; null = nobody is to probe */
export function createProbe(deps: { readonly log: Log }, directory: string | null): Probe {
  const log = deps.log.child({ part: "probe" });
  const password = Buffer.from(randomBytes(16).toString("hex"));
  /** One after the other, so that the newest is what stays; never rejects. */
  let written: Promise<void> = Promise.resolve();

  async function write(text: string): Promise<void> {
    if (directory === null) return;
    const path = join(directory, FILE);
    try {
      await writeFile(`${path}.new`, text, { mode: 0o600 });
      await rename(`${path}.new`, path);
    } catch (err) {
      log.error({ err, path }, "the device's health check cannot be told where to look");
    }
  }

  return {
    login(login) {
      if (directory === null || login.username !== USERNAME) return null;
      const { password: given } = login;
      // A wrong one goes the way of everybody's, where guessing is slowed down.
      if (given === null || given.length !== password.length) return null;
      return timingSafeEqual(given, password) ? "accepted" : null;
    },
    mayUse: ({ username, topic, qos, retain }) =>
      directory === null || username !== USERNAME ? null : topic === TOPIC && qos < 2 && !retain,
    announce({ http, mqtt, healthyS }) {
      const lines = {
        http_host: http?.host,
        http_port: http?.tcpPort,
        http_tls: http?.isTls ? "yes" : "no",
        mqtt_host: mqtt?.host,
        mqtt_port: mqtt?.tcpPort,
        mqtt_tls: mqtt?.isTls ? "yes" : "no",
        username: USERNAME,
        password: password.toString(),
        topic: TOPIC,
        healthy_s: healthyS,
      };
      const text = Object.entries(lines).map(([name, value]) => `${name}=${value ?? ""}\n`);
      written = written.then(() => write(text.join("")));
      return written;
    },
    async stop() {
      await written;
      if (directory !== null) await rm(join(directory, FILE), { force: true }).catch(() => {});
    },
  };
}

/** Where a listener bound to an address is reached from its own device. */
export function loopbackOf(bind: string): string {
  if (bind === "0.0.0.0" || bind === "::" || bind === "") return "127.0.0.1";
  return bind;
}
