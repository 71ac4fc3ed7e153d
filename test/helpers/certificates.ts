import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tempDir } from "./temp-dir.ts";

/** Paths of a certificate authority and of what it signed, all made for the running test. */
export interface Certificates {
  readonly caFile: string;
  readonly server: { readonly keyFile: string; readonly certFile: string };
  readonly client: { readonly keyFile: string; readonly certFile: string };
}

/** Makes a CA, a server certificate for localhost and a client certificate with openssl. */
export function makeCertificates({ days = 2 } = {}): Certificates {
  const dir = tempDir();
  const file = (name: string) => join(dir, name);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "pipe", cwd: dir });
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl(
    ...["req", "-x509", ...curve, "-keyout", "ca.key", "-out", "ca.pem"],
    ...["-days", String(days), "-subj", "/CN=Test CA"],
  );
  const signed = (name: string, extensions: string) => {
    openssl(
      "req",
      ...curve,
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.csr`,
      "-subj",
      `/CN=${name}`,
    );
    writeFileSync(file(`${name}.ext`), extensions);
    openssl(
      ...["x509", "-req", "-in", `${name}.csr`, "-CA", "ca.pem", "-CAkey", "ca.key"],
      ...[
        "-CAcreateserial",
        "-days",
        String(days),
        "-extfile",
        `${name}.ext`,
        "-out",
        `${name}.pem`,
      ],
    );
    return { keyFile: file(`${name}.key`), certFile: file(`${name}.pem`) };
  };
  return {
    caFile: file("ca.pem"),
    server: signed("server", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
    client: signed("client", "extendedKeyUsage=clientAuth"),
  };
}

export function readPem(path: string): string {
  return readFileSync(path, "utf8");
}
