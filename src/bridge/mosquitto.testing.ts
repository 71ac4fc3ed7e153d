import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

/** A directory of its own, removed by `await using`. */
export async function temporaryDirectory(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "bridge-"));
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Debian's mosquitto in the part of the cloud. */
export class Mosquitto implements AsyncDisposable {
  readonly tcpPort: number;
  readonly #directory: { path: string } & AsyncDisposable;
  readonly #lines: readonly string[];
  #process: ChildProcess | null = null;

  private constructor(
    tcpPort: number,
    directory: { path: string } & AsyncDisposable,
    lines: readonly string[],
  ) {
    this.tcpPort = tcpPort;
    this.#directory = directory;
    this.#lines = lines;
  }

  /** `lines` stand behind the listener's, in mosquitto.conf's own words. */
  static async start(lines: readonly string[] = ["allow_anonymous true"]): Promise<Mosquitto> {
    const broker = new Mosquitto(await freePort(), await temporaryDirectory(), lines);
    try {
      await broker.run();
    } catch (err) {
      await broker[Symbol.asyncDispose]();
      throw err;
    }
    return broker;
  }

  get directory(): string {
    return this.#directory.path;
  }

  /** Starts it, also again after `kill`. */
  async run(): Promise<void> {
    const file = join(this.directory, "mosquitto.conf");
    const listener = [`listener ${this.tcpPort} 127.0.0.1`, "user root", "log_dest stderr"];
    await writeFile(file, [...listener, ...this.#lines, ""].join("\n"));
    const child = spawn("mosquitto", ["-c", file], { stdio: ["ignore", "ignore", "pipe"] });
    this.#process = child;
    const said: string[] = [];
    for await (const line of createInterface({ input: child.stderr })) {
      said.push(line);
      if (line.includes(" running")) {
        child.stderr.resume();
        return;
      }
    }
    throw new Error(`mosquitto did not start:\n${said.join("\n")}`);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#directory[Symbol.asyncDispose]();
  }
}

/** Certificates made for one test run, as files in `directory`. */
export interface Certificates {
  readonly ca: string;
  readonly otherCa: string;
  /** For 127.0.0.1 and broker.test. */
  readonly server: CertificateFiles;
  readonly expired: CertificateFiles;
  /** The key is encrypted with `passphrase`. */
  readonly client: CertificateFiles;
  readonly passphrase: string;
}

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

export async function makeCertificates(directory: string): Promise<Certificates> {
  const file = (name: string) => join(directory, name);
  const openssl = (...args: string[]) => promisify(execFile)("openssl", args);
  const passphrase = "open sesame";

  async function authority(name: string): Promise<string> {
    await openssl(
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
      ...["-keyout", file(`${name}.key`), "-out", file(`${name}.pem`)],
      ...["-subj", `/CN=${name}`, "-days", "2"],
    );
    return file(`${name}.pem`);
  }

  async function leaf(name: string, days: string[], keyOptions: string[]) {
    await writeFile(file(`${name}.ext`), "subjectAltName=IP:127.0.0.1,DNS:broker.test\n");
    await openssl(
      ...["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", ...keyOptions],
      ...["-keyout", file(`${name}.key`), "-out", file(`${name}.csr`), "-subj", `/CN=${name}`],
    );
    await openssl(
      ...["x509", "-req", "-in", file(`${name}.csr`), "-extfile", file(`${name}.ext`)],
      ...["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial"],
      ...["-out", file(`${name}.pem`), ...days],
    );
    return { cert: file(`${name}.pem`), key: file(`${name}.key`) };
  }

  const ca = await authority("ca");
  return {
    ca,
    otherCa: await authority("other-ca"),
    server: await leaf("server", ["-days", "2"], ["-nodes"]),
    expired: await leaf("expired", ["-days", "-1"], ["-nodes"]),
    client: await leaf("client", ["-days", "2"], ["-passout", `pass:${passphrase}`]),
    passphrase,
  };
}
