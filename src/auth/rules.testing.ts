import type { Config } from "../config/index.ts";
import { createLog } from "../log/index.ts";
import { ManualClock } from "../time/index.ts";
import { MemoryTable } from "./memory-table.testing.ts";
import { StoredRules } from "./rule-database.ts";
import { Rules } from "./rules.ts";

/** An ACL configuration of defaults and `part`. */
export function aclWith(part: Partial<Config["acl"]>): Config["acl"] {
  return {
    no_match: "allow",
    deny_action: "ignore",
    rules: [],
    sources: [],
    cache: { enable: true, max_size: 32, ttl_s: 60, excludes: [] },
    ...part,
  };
}

/** Access rules with a built-in database of their own. */
export function newRules(part: Partial<Config["acl"]>) {
  const clock = new ManualClock();
  const table = new MemoryTable();
  const log = createLog({ level: "fatal" }, { write: () => undefined });
  const database = new StoredRules({ log, table: () => table, onChange: () => rules.changed() });
  const rules = new Rules({ clock, database }, aclWith(part));
  return { rules, database, table, clock };
}
