import type { Config } from "../config/index.ts";
import type { Configuration } from "./configuration/index.ts";

type RewriteRules = Config["rewrite"];
type AutoSubscriptions = Config["auto_subscribe"];

/** What becomes of topics: each change is checked, stored and applied at once. */
export interface TopicSettings {
  rewriteRules(): RewriteRules;
  setRewriteRules(rules: RewriteRules): Promise<void>;
  autoSubscriptions(): AutoSubscriptions;
  setAutoSubscriptions(rows: AutoSubscriptions): Promise<void>;
  /** `maxMessages` 0 = as many as there is room for. */
  delayed(): { readonly enable: boolean; readonly maxMessages: number };
  setDelayed(settings: { readonly enable: boolean; readonly maxMessages: number }): Promise<void>;
}

/** Changes throw what `Configuration.change` throws. */
export function createTopicSettings(
  configuration: Pick<Configuration, "change">,
  stored: () => Config,
): TopicSettings {
  const change = async (patch: Readonly<Record<string, unknown>>) => {
    await configuration.change(async () => ({ patch, pems: {} }), { force: false });
  };
  return {
    rewriteRules: () => stored().rewrite,
    setRewriteRules: (rules) => change({ rewrite: rules }),
    autoSubscriptions: () => stored().auto_subscribe,
    setAutoSubscriptions: (rows) => change({ auto_subscribe: rows }),
    delayed() {
      const { enable, max_messages: maxMessages } = stored().delayed;
      return { enable, maxMessages };
    },
    setDelayed: ({ enable, maxMessages }) =>
      change({ delayed: { enable, max_messages: maxMessages } }),
  };
}
