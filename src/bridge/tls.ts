import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { type ConnectionOptions, checkServerIdentity, createSecureContext } from "node:tls";
import type { BridgeConfig, Fault } from "../config/index.ts";
import { reasonOf } from "../errors/index.ts";

type TlsConfig = BridgeConfig["tls"];

/**
 * TLS options for one dial. The files are read each time, so that renewed certificates are used
 * without a restart.
 */
export async function loadTls(cfg: TlsConfig): Promise<ConnectionOptions> {
  const [ca, cert, key] = await Promise.all([
    read("ca_file", cfg.ca_file),
    read("cert_file", cfg.cert_file),
    read("key_file", cfg.key_file),
  ]);
  const name = cfg.server_name;
  return {
    rejectUnauthorized: cfg.verify,
    ...(ca !== null && { ca }),
    ...(cert !== null && { cert }),
    ...(key !== null && { key }),
    ...(cfg.key_password !== null && { passphrase: cfg.key_password }),
    // An address cannot be asked for by SNI (RFC 6066 §3), but a certificate may name one.
    ...(name !== null && isIP(name) === 0 && { servername: name }),
    ...(name !== null && { checkServerIdentity: (_, peer) => checkServerIdentity(name, peer) }),
  };
}

/**
 * What is wrong with a bridge's certificate files: unreadable, no PEM, a wrong passphrase, or a key
 * that does not belong to its certificate. `key` is the bridge's own key, such as `bridges.default`.
 */
export async function bridgeFileFaults(cfg: BridgeConfig, key: string): Promise<Fault[]> {
  const faults: Fault[] = [];
  for (const name of ["ca_file", "cert_file", "key_file"] as const) {
    const path = cfg.tls[name];
    try {
      await read(name, path);
    } catch (err) {
      faults.push({
        kind: "value",
        key: `${key}.tls.${name}`,
        value: path,
        expected: reasonOf(err),
      });
    }
  }
  if (faults.length > 0) return faults;
  try {
    createSecureContext(await loadTls(cfg.tls));
  } catch (err) {
    const name = cfg.tls.key_file === null ? "ca_file" : "key_file";
    faults.push({
      kind: "value",
      key: `${key}.tls.${name}`,
      value: cfg.tls[name],
      expected: `PEM files that fit each other (${reasonOf(err)})`,
    });
  }
  return faults;
}

async function read(name: string, path: string | null): Promise<Buffer | null> {
  if (path === null) return null;
  try {
    const pem = await readFile(path);
    if (!pem.includes("-----BEGIN ")) throw new Error("it holds no PEM");
    return pem;
  } catch (err) {
    throw new Error(`tls.${name} ${path} cannot be used: ${reasonOf(err)}`, { cause: err });
  }
}
