import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tempDir } from "./temp-dir.ts";

export interface Pair {
  readonly keyFile: string;
  readonly certFile: string;
}

/** An authority that signs whatever is asked of it, also what nobody should accept. */
export class Authority {
  readonly certFile: string;
  readonly #dir = tempDir();
  #count = 0;

  constructor(name: string) {
    this.certFile = this.#path("ca.pem");
    this.#openssl(
      ...["req", "-x509", ...NEW_KEY, "-nodes", "-keyout", "ca.key", "-out", "ca.pem"],
      ...["-days", "30", "-subj", `/CN=${name}`],
    );
    mkdirSync(this.#path("issued"));
    writeFileSync(this.#path("index.txt"), "");
    writeFileSync(this.#path("serial"), "01\n");
    writeFileSync(
      this.#path("ca.conf"),
      [
        ...["[ca]", "default_ca = own", "[own]", "database = index.txt", "serial = serial"],
        ...["new_certs_dir = issued", "certificate = ca.pem", "private_key = ca.key"],
        ...["default_md = sha256", "policy = any", "unique_subject = no"],
        ...["[any]", "commonName = supplied", ""],
      ].join("\n"),
    );
  }

  /** A certificate for `name`, and 127.0.0.1 where that is localhost, valid from a day until another. */
  sign(name: string, fromDays = -1, untilDays = 10, passphrase: string | null = null): Pair {
    const id = String(this.#count++);
    const [keyFile, certFile] = [`${id}.key`, `${id}.pem`];
    const address = name === "localhost" ? ",IP:127.0.0.1" : "";
    writeFileSync(this.#path(`${id}.ext`), `subjectAltName=DNS:${name}${address}\n`);
    this.#openssl(
      ...["req", ...NEW_KEY, "-keyout", keyFile, "-out", `${id}.csr`, "-subj", `/CN=${name}`],
      ...(passphrase === null ? ["-nodes"] : ["-passout", `pass:${passphrase}`]),
    );
    this.#openssl(
      ...["ca", "-batch", "-config", "ca.conf", "-in", `${id}.csr`, "-out", certFile, "-notext"],
      ...["-extfile", `${id}.ext`, "-startdate", day(fromDays), "-enddate", day(untilDays)],
    );
    return { keyFile: this.#path(keyFile), certFile: this.#path(certFile) };
  }

  #path(name: string): string {
    return join(this.#dir, name);
  }

  #openssl(...args: string[]): void {
    execFileSync("openssl", args, { stdio: "pipe", cwd: this.#dir });
  }
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

/** So many days from now, as ASN.1 writes it. */
function day(offset: number): string {
  const iso = new Date(Date.now() + offset * 86_400_000).toISOString();
  return `${iso.slice(0, 19).replace(/[-:T]/g, "")}Z`;
}
