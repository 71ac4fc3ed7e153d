import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { MASK } from "../../config/index.ts";
import { reasonOf } from "../../errors/index.ts";
import { checkFailed } from "./check-failed.ts";
import type { ReadPem } from "./pem-files.ts";

/** The files of one TLS end, as the configuration names them. */
export interface TlsFiles {
  readonly key_file: string | null;
  readonly cert_file: string | null;
  readonly ca_file: string | null;
  readonly key_password: string | null;
}

/** Tokens are RS256 (RFC 7518 §3.3): keys of 2048 bits or more. */
const MIN_RSA_BITS = 2048;

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/**
 * Key and certificate are readable, well-formed and fit, the CA file holds certificates.
 * @param prefix canonical key of `tls`, for instance `tls` or `bridges.default.tls`
 * @throws GatewayError CONFIG_CHECK_FAILED
 */
export async function checkTlsFiles(prefix: string, tls: TlsFiles, read: ReadPem): Promise<void> {
  const certKey = `${prefix}.cert_file`;
  const caKey = `${prefix}.ca_file`;
  const cert = tls.cert_file === null ? null : await read(certKey, tls.cert_file);
  const certificate = cert === null ? null : parseCertificates(certKey, tls.cert_file, cert)[0];
  const keyText = tls.key_file === null ? null : await read(`${prefix}.key_file`, tls.key_file);
  const key = keyText === null ? null : parseKey(prefix, tls, keyText);
  const ca = tls.ca_file === null ? null : await read(caKey, tls.ca_file);
  if (ca !== null) parseCertificates(caKey, tls.ca_file, ca);
  if (!certificate || key === null) return;
  if (!certificate.checkPrivateKey(key)) {
    throw checkFailed(certKey, tls.cert_file, "the private key does not belong to it");
  }
  try {
    createSecureContext({
      cert: cert ?? undefined,
      key: keyText ?? undefined,
      passphrase: tls.key_password ?? undefined,
      ca: ca ?? undefined,
    });
  } catch (err) {
    throw checkFailed(certKey, tls.cert_file, reasonOf(err), err);
  }
}

/** @throws GatewayError CONFIG_CHECK_FAILED unless `path` holds an RSA public key tokens can be checked with */
export async function checkTokenKey(key: string, path: string | null, read: ReadPem) {
  if (path === null) {
    throw checkFailed(key, path, "jwt needs the RSA public key of the tokens");
  }
  const pem = await read(key, path);
  let publicKey: KeyObject;
  try {
    publicKey = createPublicKey(pem);
  } catch (err) {
    throw checkFailed(key, path, "it holds no public key in PEM form", err);
  }
  const bits = publicKey.asymmetricKeyDetails?.modulusLength ?? 0;
  if (publicKey.asymmetricKeyType !== "rsa" || bits < MIN_RSA_BITS) {
    throw checkFailed(key, path, `it is no RSA key of at least ${MIN_RSA_BITS} bits`);
  }
}

function parseKey(prefix: string, tls: TlsFiles, pem: string): KeyObject {
  try {
    // Without a passphrase OpenSSL would ask for one on the terminal.
    return createPrivateKey({ key: pem, format: "pem", passphrase: tls.key_password ?? "" });
  } catch (err) {
    const isEncrypted = /ENCRYPTED/.test(pem);
    if (isEncrypted) {
      const value = tls.key_password === null ? null : MASK;
      throw checkFailed(`${prefix}.key_password`, value, "it does not open the private key", err);
    }
    throw checkFailed(
      `${prefix}.key_file`,
      tls.key_file,
      "it holds no private key in PEM form",
      err,
    );
  }
}

function parseCertificates(key: string, path: string | null, pem: string): X509Certificate[] {
  try {
    const certificates = (pem.match(CERTIFICATE) ?? []).map((block) => new X509Certificate(block));
    if (certificates.length > 0) return certificates;
  } catch (err) {
    throw checkFailed(key, path, `it holds a broken certificate: ${reasonOf(err)}`, err);
  }
  throw checkFailed(key, path, "it holds no certificate in PEM form");
}
