import { constants, X509Certificate } from "node:crypto";
import { open } from "node:fs/promises";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import type { Config } from "../config/index.ts";
import { GatewayError, reasonOf } from "../errors/index.ts";

/** More than any sensible chain or CA bundle; keeps a wrong path from filling the memory. */
const MAX_PEM_BYTES = 4 * 1024 * 1024;

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/**
 * Reads key, certificate and CA files and proves that they can be used together.
 *
 * The CA file is mandatory with `verify_peer`: without one Node would verify clients against the
 * public web's authorities, and anybody can get a certificate from those.
 *
 * @param group the path of `tls` in the configuration
 * @throws GatewayError CONFIG_CHECK_FAILED naming the key, its value and what is wrong with it.
 */
export async function loadTlsMaterial(
  tls: Config["tls"],
  group = "tls",
): Promise<SecureContextOptions> {
  const key = await readPem(`${group}.key_file`, tls.key_file);
  const cert = await readPem(`${group}.cert_file`, tls.cert_file);
  checkCertificates(`${group}.cert_file`, tls.cert_file, cert);
  // An empty one is no fault to OpenSSL, and then every handshake is.
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(key)) {
    throw checkFailed(`${group}.key_file`, tls.key_file, "it holds no PEM private key");
  }
  const options: SecureContextOptions = {
    key,
    cert,
    minVersion: "TLSv1.2",
    // A client that renegotiates for ever costs a handshake's CPU time each round (TLS 1.2).
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    ...(tls.key_password === null ? {} : { passphrase: tls.key_password }),
  };
  if (tls.verify_peer) {
    const ca = await readPem(`${group}.ca_file`, tls.ca_file);
    options.ca = checkCertificates(`${group}.ca_file`, tls.ca_file, ca);
  }
  try {
    createSecureContext(options);
  } catch (err) {
    const reason = `it does not fit ${group}.cert_file or ${group}.key_password: ${reasonOf(err)}`;
    throw checkFailed(`${group}.key_file`, tls.key_file, reason, err);
  }
  return options;
}

async function readPem(key: string, path: string | null): Promise<string> {
  if (path === null) throw checkFailed(key, path, "a TLS listener needs this file");
  try {
    await using file = await open(path, "r");
    const stat = await file.stat();
    if (!stat.isFile()) throw new Error("it is not a regular file");
    if (stat.size > MAX_PEM_BYTES) throw new Error(`it is over ${MAX_PEM_BYTES} bytes`);
    return await file.readFile("utf8");
  } catch (err) {
    throw checkFailed(key, path, reasonOf(err), err);
  }
}

/** @returns the certificates of the file one by one; at least one. */
function checkCertificates(key: string, path: string | null, pem: string): string[] {
  const certificates = pem.match(PEM_CERTIFICATE) ?? [];
  if (certificates.length === 0) throw checkFailed(key, path, "it holds no PEM certificate");
  for (const [index, certificate] of certificates.entries()) {
    try {
      new X509Certificate(certificate);
    } catch (err) {
      throw checkFailed(key, path, `certificate ${index + 1}: ${reasonOf(err)}`, err);
    }
  }
  return [...certificates];
}

function checkFailed(key: string, value: string | null, reason: string, cause?: unknown) {
  return new GatewayError("CONFIG_CHECK_FAILED", { key, value, reason }, { cause });
}
