import { isDeepStrictEqual } from "node:util";
import type { Config } from "../../config/index.ts";
import { checkBridge, checkRing, type PartChecks } from "./bridge-check.ts";
import { checkFailed } from "./check-failed.ts";
import { checkFieldDevices } from "./field-check.ts";
import type { ReadPem } from "./pem-files.ts";
import { checkPorts } from "./port-check.ts";
import { checkTlsFiles, checkTokenKey } from "./tls-check.ts";

export interface CheckContext {
  readonly read: ReadPem;
  /** TCP ports this process listens on. */
  readonly held: ReadonlySet<number>;
  readonly parts: PartChecks;
  /** The caller accepts to lock itself out. */
  readonly force: boolean;
}

/**
 * What a schema cannot know: whether the parts of `next` fit each other and this machine. Only what
 * differs from `previous` is looked at, so that an old weakness does not block another change.
 * @throws GatewayError CONFIG_CHECK_FAILED naming the canonical key and the value
 */
export async function checkConfig(
  next: Config,
  previous: Config,
  context: CheckContext,
): Promise<void> {
  if (!context.force) await checkLockOut(next, previous, context.read);
  context.parts.checkAccess(next);
  await checkTls(next, previous, context.read);
  await checkBridges(next, previous, context);
  checkFieldDevices(next, previous);
  await checkPorts(next, previous, context.held);
}

async function checkLockOut(next: Config, previous: Config, read: ReadPem): Promise<void> {
  const { http, https } = next;
  const was = previous.http;
  if (!http.enable && !https.enable && (was.enable || previous.https.enable)) {
    const name = was.enable ? "http.enable" : "https.enable";
    throw checkFailed(name, false, "it would lock you out; send force to insist");
  }
  if (!http.password && http.password !== was.password) {
    throw checkFailed("http.password", "", "an empty password locks you out; send force to insist");
  }
  const isKeyInUse = http.auth_type === "jwt" || http.jwt_public_key_file !== null;
  const isChanged =
    http.auth_type !== was.auth_type || http.jwt_public_key_file !== was.jwt_public_key_file;
  if (isKeyInUse && isChanged) {
    await checkTokenKey("http.jwt_public_key_file", http.jwt_public_key_file, read);
  }
}

async function checkTls(next: Config, previous: Config, read: ReadPem): Promise<void> {
  const before = tlsEnds(previous);
  for (const [prefix, end] of tlsEnds(next)) {
    const { tls, isOn } = end;
    if (isDeepStrictEqual(end, before.get(prefix))) continue;
    for (const key of ["cert_file", "key_file"] as const) {
      if (isOn && tls[key] === null) {
        throw checkFailed(`${prefix}.${key}`, null, "TLS is enabled and cannot do without it");
      }
    }
    if (isOn && tls.verify_peer && tls.ca_file === null) {
      throw checkFailed(`${prefix}.ca_file`, null, "verify_peer needs the CA of the clients");
    }
    await checkTlsFiles(prefix, tls, read);
  }
}

interface TlsEnd {
  readonly tls: Config["tls"];
  /** A listener that is enabled shows it. */
  readonly isOn: boolean;
}

/** What listeners show of themselves, by its key: `tls`, and what single ones have of their own. */
function tlsEnds({ tls, listeners, extra_listeners: extra, https }: Config): Map<string, TlsEnd> {
  const ends = new Map<string, TlsEnd>();
  let isSharedOn = listeners.tls.enable || listeners.wss.enable || https.enable;
  for (const [name, listener] of Object.entries(extra)) {
    if (!/^(?:ssl|wss):/.test(name)) continue;
    if (listener.tls.cert_file === null) isSharedOn ||= listener.enable;
    else ends.set(`extra_listeners.${name}.tls`, { tls: listener.tls, isOn: listener.enable });
  }
  return ends.set("tls", { tls, isOn: isSharedOn });
}

async function checkBridges(next: Config, previous: Config, context: CheckContext): Promise<void> {
  for (const [name, bridge] of Object.entries(next.bridges)) {
    const was = Object.hasOwn(previous.bridges, name) ? previous.bridges[name] : undefined;
    if (isDeepStrictEqual(bridge, was)) continue;
    checkBridge(name, bridge, context.parts);
    await checkTlsFiles(`bridges.${name}.tls`, bridge.tls, context.read);
  }
  if (isDeepStrictEqual(next.bridges, previous.bridges)) return;
  if (context.parts.findRing(previous.bridges) === null) checkRing(next.bridges, context.parts);
}
