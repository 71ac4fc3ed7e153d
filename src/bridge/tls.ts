import { createHash, createPrivateKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import {
  type ConnectionOptions,
  checkServerIdentity,
  createSecureContext,
  type PeerCertificate,
} from "node:tls";
import type { BridgeConfig } from "../config/index.ts";
import { reasonOf } from "../errors/index.ts";
import { expiryOf, type LinkCertificate } from "./certificates.ts";
import { TlsFileError } from "./words.ts";

type TlsConfig = BridgeConfig["tls"];

type LoadedOptions = ConnectionOptions & { readonly key?: Buffer; readonly passphrase?: string };

/** Hears of the certificates of a dial. */
export type CertificateListener = (role: LinkCertificate["role"], expiresMs: number) => void;

/** TLS options for one dial to `host`, and what tells this state of the files from another. */
export interface LoadedTls {
  readonly options: ConnectionOptions;
  readonly fingerprint: string;
}

/**
 * TLS options for one dial. The files are read each time, so that renewed certificates are used
 * without a restart.
 * @throws TlsFileError naming the key of a file that cannot be used
 */
export async function loadTls(
  cfg: TlsConfig,
  onCertificate: CertificateListener = () => {},
): Promise<LoadedTls> {
  const [ca, cert, key] = await Promise.all([
    read("ca_file", cfg.ca_file),
    read("cert_file", cfg.cert_file),
    read("key_file", cfg.key_file),
  ]);
  const name = cfg.server_name;
  if (cert !== null) onCertificate("client", expiryOf(cert, "chain"));
  if (ca !== null) onCertificate("ca", expiryOf(ca, "authorities"));
  const hash = createHash("sha256");
  for (const pem of [ca, cert, key]) hash.update(pem ?? "").update("\n");
  const options = {
    rejectUnauthorized: cfg.verify,
    ...(ca !== null && { ca }),
    ...(cert !== null && { cert }),
    ...(key !== null && { key }),
    ...(cfg.key_password !== null && { passphrase: cfg.key_password }),
    ...(cfg.alpn.length > 0 && { ALPNProtocols: [...cfg.alpn] }),
    // An address cannot be asked for by SNI (RFC 6066 §3), but a certificate may name one.
    ...(name !== null && isIP(name) === 0 && { servername: name }),
    checkServerIdentity: (host: string, peer: PeerCertificate) => {
      onCertificate("server", Date.parse(peer.valid_to));
      return checkServerIdentity(name ?? host, peer);
    },
  };
  checkTogether(cfg, options);
  return { options, fingerprint: hash.digest("hex") };
}

function checkTogether(cfg: TlsConfig, options: LoadedOptions): void {
  try {
    createSecureContext(options);
  } catch (err) {
    const name = guilty(cfg);
    const hint = name === "key_file" ? keyTrouble(options) : "it holds no usable certificate";
    const reason = `tls.${name} ${cfg[name]} cannot be used: ${hint} (${reasonOf(err)})`;
    throw new TlsFileError(reason, { cause: err });
  }
}

/**
 * Why a key and its certificate are of no use. The key is tried alone: what OpenSSL says of a wrong
 * passphrase depends on whether the garbage it gave ends like a key, which one in 250 does.
 */
function keyTrouble({ key, passphrase }: LoadedOptions): string {
  if (key === undefined) return "it is missing";
  try {
    createPrivateKey({ key, ...(passphrase !== undefined && { passphrase }) });
    return "it does not fit tls.cert_file";
  } catch {
    return key.includes("ENCRYPTED")
      ? "tls.key_password does not open it"
      : "it holds no usable key";
  }
}

function guilty(cfg: TlsConfig): "ca_file" | "key_file" {
  return cfg.key_file === null ? "ca_file" : "key_file";
}

async function read(name: string, path: string | null): Promise<Buffer | null> {
  if (path === null) return null;
  try {
    const pem = await readFile(path);
    if (!pem.includes("-----BEGIN ")) throw new Error("it holds no PEM");
    return pem;
  } catch (err) {
    const reason = reasonOf(err);
    throw new TlsFileError(`tls.${name} ${path} cannot be used: ${reason}`, { cause: err });
  }
}
