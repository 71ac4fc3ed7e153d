/**
 * Bodies for operations whose examples speak of things a new gateway does not have. `server` is a
 * broker that can be reached.
 */
export function bodiesFor(server: string): ReadonlyMap<string, unknown> {
  const bridge = { connector: "cloud", type: "mqtt", name: "cloud" };
  const action = { ...bridge, parameters: { topic: "up/x", qos: 1, local: { topic: "plant/#" } } };
  const source = { ...bridge, parameters: { topic: "cmd/#", qos: 1, local: { topic: "down" } } };
  const rules = [{ topic: "a/#", permission: "allow", action: "all" }];
  const authenticator = { mechanism: "password_based", backend: "built_in_database" };
  const { type: _, name: __, ...actionChange } = action;
  const { type: ___, name: ____, ...sourceChange } = source;
  return new Map<string, unknown>([
    ["POST /connectors", { type: "mqtt", name: "cloud", server }],
    ["PUT /connectors/{id}", { server }],
    ["POST /connectors_probe", { type: "mqtt", name: "probe", server }],
    ["POST /actions", action],
    ["PUT /actions/{id}", actionChange],
    ["POST /actions_probe", action],
    ["POST /sources", source],
    ["PUT /sources/{id}", sourceChange],
    ["POST /sources_probe", source],
    ["POST /bridges", { type: "mqtt", name: "legacy", server }],
    ["PUT /bridges/{id}", { server }],
    ["POST /bridges_probe", { type: "mqtt", name: "probe", server }],
    ["POST /authentication", authenticator],
    ["POST /authentication/{id}/users", { user_id: "device-1", password: "secret-1" }],
    ["PUT /authentication/{id}/users/{user_id}", { password: "secret-2" }],
    ["PUT /authentication/{id}", authenticator],
    ["POST /authorization/sources", { type: "built_in_database", enable: true }],
    ["PUT /authorization/sources/{type}", { type: "built_in_database", enable: true }],
    ["PUT /authorization/sources/order", [{ type: "built_in_database" }]],
    ["PUT /authorization/sources/built_in_database/rules/users/{username}", { rules }],
    ["PUT /authorization/sources/built_in_database/rules/clients/{clientid}", { rules }],
    ["POST /trace", { name: "slow-sensor", type: "clientid", clientid: "sensor-7" }],
  ]);
}
