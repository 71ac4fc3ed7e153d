import { isDeepStrictEqual } from "node:util";
import { type BridgeConfig, type Config, MASK, SCHEMA } from "../../../config/index.ts";
import type { ConfigDraft, PemTexts } from "../../../services/index.ts";
import { isJsonObject, type JsonObject, member as memberOf } from "../../json.ts";
import { invalid } from "../../parameters.ts";
import { BRIDGE_KEY } from "./bridge-members.ts";
import { Change } from "./change.ts";
import type { Member, Source } from "./member.ts";
import { MEMBERS } from "./members.ts";

/**
 * The configuration as NanoMQ's object (reference §2): every member is there, null when unset,
 * secrets as `******`. Extra members: `max_packet_size` and `client_max_packet_size` in KiB.
 */
export function showConfig(config: Config, pems: PemTexts): JsonObject {
  const source = sourceOf(config, pems);
  const shown: Record<string, unknown> = {};
  for (const member of MEMBERS) {
    const value = member.show(source);
    if (member.section === null) shown[member.name] = value;
    else shown[member.section] = { ...sectionOf(shown, member.section), [member.name]: value };
  }
  return shown;
}

/**
 * What `data`, an object like the one {@link showConfig} makes, changes in `stored`. A member that is
 * absent, equal to what would be shown, or `******` for a secret, changes nothing; so the whole
 * object sent back is an empty change. Members NanoMQ does not know are ignored.
 * @throws GatewayError PARAMETER_INVALID naming the member (`tls.cert`, `bridge.forwards[1]`)
 */
export function readChange(data: JsonObject, stored: Config, pems: PemTexts): ConfigDraft {
  const source = sourceOf(stored, pems);
  const change = new Change();
  for (const member of MEMBERS) {
    const given = givenValue(data, member, member.show(source));
    if (given !== undefined) member.accept(given.value, given.field, change);
  }
  if (Object.keys(change.bridge).length > 0) {
    const bridge = { ...source.bridge, ...change.bridge };
    checkBridge(bridge);
    change.set("bridges", { default: bridge });
  }
  return change.draft();
}

/** NanoMQ's name for a canonical key, or for a place inside it; a key V1 does not know stays as it is. */
export function memberNameOf(key: string): string {
  for (const member of MEMBERS) {
    const prefix = member.keys.find(
      (own) => key === own || (/^[.[]/.test(key.slice(own.length)) && key.startsWith(own)),
    );
    if (prefix === undefined) continue;
    const rest = prefix.startsWith("listeners.") ? "" : key.slice(prefix.length);
    return `${fieldOf(member, member.name)}${rest}`;
  }
  return key;
}

function sourceOf(config: Config, pems: PemTexts): Source {
  const { bridges } = config;
  const own = Object.hasOwn(bridges, "default") ? bridges["default"] : undefined;
  return { config, pems, bridge: own ?? newBridge() };
}

/** A bridge nobody configured: all defaults, and off. */
function newBridge(): BridgeConfig {
  const blank = { default: { enable: false } } as unknown as Config["bridges"];
  const complete = SCHEMA.bridges.format.complete(blank)["default"];
  if (complete === undefined) throw new Error("the bridge format lost a member");
  return complete;
}

function givenValue(data: JsonObject, member: Member, shown: unknown) {
  const from = member.section === null ? data : sectionOf(data, member.section);
  const given = [member.name, ...(member.aliases ?? [])]
    .filter((name) => Object.hasOwn(from, name))
    .map((name) => ({ value: from[name], field: fieldOf(member, name) }))
    .filter(({ value }) => !isUnchanged(member, value, shown));
  const [first, second] = given;
  if (first !== undefined && second !== undefined && first.value !== second.value) {
    const value = member.isSecret ? MASK : second.value;
    throw invalid(second.field, value, `the same as ${first.field}, or only one of them`);
  }
  return first;
}

function isUnchanged(member: Member, value: unknown, shown: unknown): boolean {
  if (member.isSecret && value === MASK) return true;
  if (member.keepsOnNull && value === null) return true;
  return isDeepStrictEqual(value, shown);
}

function sectionOf(object: JsonObject, section: string): JsonObject {
  const value = memberOf(object, section);
  if (value === undefined) return {};
  if (isJsonObject(value)) return value;
  throw invalid(section, value, "an object");
}

function checkBridge(bridge: JsonObject): void {
  const fault = SCHEMA.bridges.format.faults({ default: bridge }, "bridges")[0];
  if (fault === undefined) return;
  const isSecret = fault.key === `${BRIDGE_KEY}.password`;
  throw invalid(memberNameOf(fault.key), isSecret ? MASK : fault.value, fault.expected);
}

function fieldOf(member: Member, name: string): string {
  return member.section === null ? name : `${member.section}.${name}`;
}
