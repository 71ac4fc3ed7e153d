import { X509Certificate } from "node:crypto";
import { open } from "node:fs/promises";

/** A file with a certificate that somebody relies on. */
export interface CertificateFile {
  /** What it is for, `listeners` for one. */
  readonly use: string;
  readonly path: string;
}

/** A certificate file, and from when until when all certificates in it count. */
export interface Expiry extends CertificateFile {
  /** Wall clock, ms since 1970. */
  readonly expiresAtMs: number;
  /** From when all of them count. */
  readonly startsAtMs: number;
}

const MAX_FILE_BYTES = 262_144;
const MAX_CERTIFICATES = 32;
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** When each file's first certificate to expire does; files that cannot be read are left out. */
export async function readExpiries(files: readonly CertificateFile[]): Promise<readonly Expiry[]> {
  const read = files.map(async (file): Promise<readonly Expiry[]> => {
    try {
      const certificates = (await readStart(file.path)).match(PEM) ?? [];
      const read = certificates.slice(0, MAX_CERTIFICATES).map((pem) => new X509Certificate(pem));
      const expiresAtMs = Math.min(...read.map((it) => Date.parse(it.validTo)));
      const startsAtMs = Math.max(...read.map((it) => Date.parse(it.validFrom)));
      return Number.isFinite(expiresAtMs) ? [{ ...file, expiresAtMs, startsAtMs }] : [];
    } catch {
      // Whoever uses the file says what is wrong with it.
      return [];
    }
  });
  return (await Promise.all(read)).flat();
}

async function readStart(path: string): Promise<string> {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_FILE_BYTES), 0, MAX_FILE_BYTES);
    return buffer.toString("latin1", 0, bytesRead);
  } finally {
    await file.close();
  }
}
