import type { Services } from "../../../services/index.ts";
import { type Family, single } from "./exposition.ts";

type Access = Services["mqttAccess"];

const DATABASE_ID = "password_based:built_in_database";
const DATABASE_SOURCE = "built_in_database";

/** Users of the built-in database; 0 while there is none. */
export function builtInUserCount(access: Access): number {
  return access.database() === null ? 0 : access.users().size;
}

/** Owners of rules in the built-in database, and its rules for everybody; 0 while there is none. */
export function builtInRuleCount(access: Access): number {
  if (!access.sources().some(({ type }) => type === DATABASE_SOURCE)) return 0;
  const rules = access.rules();
  return rules.count("clients") + rules.count("users") + rules.all().length;
}

/** Who decides about logins and access, and what was decided since the start. */
export function authFamilies({
  mqttAccess,
  bans,
}: Pick<Services, "mqttAccess" | "bans">): readonly Family[] {
  return [
    ...loginFamilies(mqttAccess),
    ...ruleFamilies(mqttAccess),
    single("emqx_banned_count", "gauge", "Bans in force.", countOf(bans.list())),
  ];
}

function loginFamilies(access: Access): readonly Family[] {
  const database = access.database();
  if (database === null) return [];
  const { success, failed, nomatch } = access.databaseStatus();
  const one = (name: string, kind: Family["kind"], doc: string, value: number): Family => ({
    name: `emqx_authn_${name}`,
    kind,
    doc,
    samples: [{ labels: { id: DATABASE_ID }, value }],
  });
  return [
    one("enable", "gauge", "1 while it is asked.", database.enable ? 1 : 0),
    one("status", "gauge", "1 while it works.", 1),
    one("total", "counter", "Logins it was asked about.", success + failed + nomatch),
    one("success", "counter", "Logins it accepted.", success),
    one("failed", "counter", "Logins it refused.", failed),
    one("nomatch", "counter", "Logins by names it does not know.", nomatch),
    one("users_count", "gauge", "Its users.", access.users().size),
  ];
}

function ruleFamilies(access: Access): readonly Family[] {
  const sources = access.sources().map(({ type, enable }) => {
    const { allow, deny, nomatch } = access.sourceStatus(type);
    return { type, enable, allow, deny, nomatch };
  });
  const all = (
    name: string,
    kind: Family["kind"],
    doc: string,
    read: (source: (typeof sources)[number]) => number,
  ): Family => ({
    name: `emqx_authz_${name}`,
    kind,
    doc,
    samples: sources.map((source) => ({ labels: { type: source.type }, value: read(source) })),
  });
  const database = sources.filter(({ type }) => type === DATABASE_SOURCE);
  return [
    all("enable", "gauge", "1 while it is asked.", ({ enable }) => (enable ? 1 : 0)),
    all("status", "gauge", "1 while it works.", () => 1),
    all("total", "counter", "Decisions it was asked for.", (of) => of.allow + of.deny + of.nomatch),
    all("allow", "counter", "Decisions to allow.", ({ allow }) => allow),
    all("deny", "counter", "Decisions to deny.", ({ deny }) => deny),
    all("nomatch", "counter", "Decisions left to the next.", ({ nomatch }) => nomatch),
    {
      name: "emqx_authz_rules_count",
      kind: "gauge",
      doc: "Its rules, by client, user, and for everybody.",
      samples: database.map(({ type }) => ({ labels: { type }, value: builtInRuleCount(access) })),
    },
  ];
}

function countOf(rows: Iterable<unknown>): number {
  let count = 0;
  for (const _ of rows) count++;
  return count;
}
