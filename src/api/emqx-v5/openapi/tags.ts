/** What the groups of operations are about; a tag that is missing here describes itself. */
export const TAGS: ReadonlyMap<string, string> = new Map([
  ["API keys", "Logins of tools."],
  ["Alarms", "What is wrong with the gateway or its surroundings, now and before."],
  ["Cluster", "The cluster, which is this gateway alone."],
  ["Error codes", "Codes of refusals."],
  ["Metrics", "What the gateway counts and measures."],
  ["Monitor", "Counts over time."],
  ["Nodes", "This gateway."],
  ["Rules", "There is no rule engine; tools that ask find empty lists."],
  ["Schemas", "Schemas dashboards make forms of."],
  ["Status", "For health probes."],
  ["Telemetry", "Reports to others, of which there are none."],
  ["Users", "Logins of people."],
]);
