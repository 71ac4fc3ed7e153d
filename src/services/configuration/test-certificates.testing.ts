import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Paths and texts of a self-signed certificate made for one test. */
export interface TestCertificate {
  readonly keyFile: string;
  readonly certFile: string;
  readonly key: string;
  readonly cert: string;
}

/** Makes a key and a self-signed certificate in `directory`; with `passphrase` the key is encrypted. */
export async function makeCertificate(
  directory: string,
  name: string,
  passphrase?: string,
): Promise<TestCertificate> {
  const keyFile = join(directory, `${name}.key`);
  const certFile = join(directory, `${name}.crt`);
  const subject = ["-x509", "-days", "30", "-subj", `/CN=${name}`];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", keyFile];
  const protection = passphrase === undefined ? ["-noenc"] : ["-passout", `pass:${passphrase}`];
  await run("openssl", ["req", ...subject, ...key, ...protection, "-out", certFile]);
  return {
    keyFile,
    certFile,
    key: await readFile(keyFile, "utf8"),
    cert: await readFile(certFile, "utf8"),
  };
}
