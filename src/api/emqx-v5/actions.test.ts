import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../bridge/bridge.testing.ts";
import { type BridgeApi, startBridgeApi } from "./bridge-api.testing.ts";

let api: BridgeApi;

beforeEach(async () => {
  api = await startBridgeApi();
  const body = { type: "mqtt", name: "cloud", server: api.server };
  await api.call("POST", "/connectors", { body });
  await api.bridges.settled("cloud");
});

afterEach(() => api.close());

const action = (more: object = {}) => ({
  type: "mqtt",
  name: "up",
  connector: "cloud",
  parameters: { topic: "gw1/${topic}", qos: 1, local: { topic: "plant/#" } },
  ...more,
});

const stored = () => api.store.stored().bridges["cloud"];

describe("actions (reference §5.12.2)", () => {
  it("an action forwards what its local filter selects, at once", async () => {
    const made = await api.call("POST", "/actions", { body: action() });
    expect(made).toMatchObject({
      status: 201,
      body: {
        type: "mqtt",
        name: "up",
        connector: "cloud",
        enable: true,
        parameters: {
          topic: "gw1/${topic}",
          qos: 1,
          retain: false,
          payload: "${payload}",
          local: { topic: "plant/#" },
        },
        rules: [],
      },
    });
    await api.bus.send("plant/a", "21");
    await eventually(() => expect(api.got).toEqual(["gw1/plant/a 21"]));
    await eventually(async () => {
      const { body } = await api.call("GET", "/actions/mqtt:up/metrics");
      expect(body).toMatchObject({
        metrics: { matched: 1, success: 1, failed: 0, dropped: 0, queuing: 0 },
        node_metrics: [{ node: "tidegate@127.0.0.1" }],
      });
    });
    expect((await api.call("PUT", "/actions/mqtt:up/metrics/reset")).status).toBe(204);
    expect((await api.call("GET", "/actions/mqtt:up/metrics")).body).toMatchObject({
      metrics: { matched: 0, success: 0 },
    });
  });

  it("what is shown can be sent back and changes nothing", async () => {
    await api.call("POST", "/actions", { body: action() });
    const before = stored();
    const { body } = await api.call("GET", "/actions/mqtt:up");
    expect((await api.call("PUT", "/actions/mqtt:up", { body })).status).toBe(200);
    expect(stored()).toEqual(before);
  });

  it("rules of NanoMQ's kind keep their target and overrides over a round trip", async () => {
    await api.call("DELETE", "/connectors/mqtt:cloud");
    await api.close();
    api = await startBridgeApi({
      cloud: {
        server: "mqtt://127.0.0.1:1",
        forwards: [
          { local_topic: "a/+/#", remote_topic: "+/#", prefix: "p/", suffix: "/s", retain: true },
          { local_topic: "b" },
        ],
        subscription: [{ remote_topic: "c/#", local_topic: "d", qos: 2 }],
      },
    });
    const { body } = await api.call("GET", "/actions");
    expect(body).toMatchObject([
      { name: "cloud-forward-1", parameters: { topic: "p/+/#/s", qos: "${qos}", retain: true } },
      { name: "cloud-forward-2", parameters: { topic: "${topic}", local: { topic: "b" } } },
    ]);
    const before = stored()?.forwards[0];
    const [first] = body as [object];
    await api.call("PUT", "/actions/mqtt:cloud-forward-1", { body: first });
    expect(stored()?.forwards[0]).toEqual({ ...before, name: "cloud-forward-1" });
    // The others keep the names they were known by.
    await api.call("DELETE", "/actions/mqtt:cloud-forward-1");
    expect((await api.call("GET", "/actions/mqtt:cloud-forward-2")).status).toBe(200);
    expect((await api.call("GET", "/sources/mqtt:cloud-subscription-1")).body).toMatchObject({
      parameters: { topic: "c/#", qos: 2, local: { topic: "d" } },
    });
  });

  it.each([
    ["an unknown connector", { connector: "nobody" }, "BAD_REQUEST"],
    ["no local filter", { parameters: { topic: "x" } }, "BAD_REQUEST"],
    [
      "a template that needs the payload",
      { parameters: { topic: "${payload.id}", local: { topic: "a" } } },
      "BAD_REQUEST",
    ],
    [
      "a payload template",
      { parameters: { topic: "x", payload: "${clientid}", local: { topic: "a" } } },
      "BAD_REQUEST",
    ],
    ["a bad filter", { parameters: { topic: "x", local: { topic: "a/#/b" } } }, "BAD_REQUEST"],
    ["an unknown member", { parameters: { topic: "x", foo: 1 } }, "BAD_REQUEST"],
  ])("refuses %s", async (_, more, code) => {
    const reply = await api.call("POST", "/actions", { body: action(more) });
    expect(reply).toMatchObject({ status: 400, body: { code } });
    expect(stored()?.forwards).toEqual([]);
  });

  it("refuses a name that is taken, and a pair that would loop", async () => {
    await api.call("POST", "/actions", { body: action() });
    expect(await api.call("POST", "/actions", { body: action() })).toMatchObject({
      status: 400,
      body: { code: "ALREADY_EXISTS" },
    });
  });

  it("disabled it forwards nothing; start tells so", async () => {
    await api.call("POST", "/actions", { body: action() });
    expect((await api.call("PUT", "/actions/mqtt:up/enable/false")).status).toBe(204);
    await api.bus.send("plant/a", "lost");
    expect((await api.call("GET", "/actions/mqtt:up")).body).toMatchObject({
      enable: false,
      status: "disconnected",
      status_reason: "disabled",
    });
    expect(await api.call("POST", "/actions/mqtt:up/start")).toMatchObject({ status: 400 });
    await api.call("PUT", "/actions/mqtt:up/enable/true");
    await api.bridges.settled("cloud");
    await api.bus.send("plant/a", "sent");
    await eventually(() => expect(api.got).toEqual(["gw1/plant/a sent"]));
    expect((await api.call("POST", "/actions/mqtt:up/start")).status).toBe(204);
  });

  it("summaries, types and probes answer", async () => {
    await api.call("POST", "/actions", {
      body: action({ description: "to the cloud", tags: ["a"] }),
    });
    expect((await api.call("GET", "/actions/mqtt:up")).body).toMatchObject({ tags: ["a"] });
    expect((await api.call("GET", "/actions_summary")).body).toMatchObject([
      { type: "mqtt", name: "up", enable: true, description: "to the cloud", rules: [] },
    ]);
    expect((await api.call("GET", "/action_types")).body).toEqual(["mqtt"]);
    expect((await api.call("GET", "/source_types")).body).toEqual(["mqtt"]);
    expect((await api.call("GET", "/sources_summary")).body).toEqual([]);
    const probe = await api.call("POST", "/actions_probe", { body: action({ name: "other" }) });
    expect(probe.status).toBe(204);
    expect((await api.call("GET", "/actions/mqtt:nobody")).status).toBe(404);
  });
});

describe("sources (reference §5.12.2)", () => {
  it("a source publishes here what its remote filter brings", async () => {
    const body = {
      type: "mqtt",
      name: "down",
      connector: "cloud",
      parameters: { topic: "gw1/cmd/#", qos: 1, local: { topic: "cloud/${topic}" } },
    };
    expect(await api.call("POST", "/sources", { body })).toMatchObject({
      status: 201,
      body: { parameters: { topic: "gw1/cmd/#", qos: 1, local: { topic: "cloud/${topic}" } } },
    });
    await api.bridges.settled("cloud");
    const connection = api.cloud.connections.at(-1);
    connection?.send(Buffer.from("\x30\x0d\x00\x09gw1/cmd/ago", "latin1"));
    await eventually(() => expect(api.bus.fromBridge()).toEqual(["cloud/gw1/cmd/a go"]));
    expect((await api.call("GET", "/sources/mqtt:down/metrics")).body).toMatchObject({
      metrics: { matched: 1, received: 1, success: 1 },
    });
  });
});

describe("bridges (reference §5.12.3)", () => {
  const bridge = () => ({
    type: "mqtt",
    name: "old",
    server: api.server,
    clean_start: false,
    egress: {
      local: { topic: "plant/#" },
      remote: { topic: "gw1/${topic}", qos: 1, payload: "${payload}" },
    },
    ingress: {
      remote: { topic: "gw1/cmd/#", qos: 1 },
      local: { topic: "${topic}", retain: false },
    },
  });

  it("the reference's example makes a connector with an action and a source of its name", async () => {
    expect(await api.call("POST", "/bridges", { body: bridge() })).toMatchObject({ status: 201 });
    await api.bridges.settled("old");
    expect((await api.call("GET", "/bridges/mqtt:old")).body).toMatchObject({
      name: "old",
      status: "connected",
      egress: { local: { topic: "plant/#" }, remote: { topic: "gw1/${topic}", qos: 1 } },
      ingress: { remote: { topic: "gw1/cmd/#", qos: 1 }, local: { topic: "${topic}" } },
    });
    expect((await api.call("GET", "/connectors/mqtt:old")).body).toMatchObject({
      actions: ["old"],
      sources: ["old"],
    });
    await api.bus.send("plant/a", "1");
    await eventually(() => expect(api.got).toEqual(["gw1/plant/a 1"]));
    expect((await api.call("GET", "/bridges/mqtt:old/metrics")).body).toMatchObject({
      metrics: { matched: 1 },
    });
  });

  it("what is shown can be sent back; a change of one way leaves the other", async () => {
    await api.call("POST", "/bridges", { body: bridge() });
    const { body } = await api.call("GET", "/bridges/mqtt:old");
    const before = api.store.stored().bridges["old"];
    expect((await api.call("PUT", "/bridges/mqtt:old", { body })).status).toBe(200);
    expect(api.store.stored().bridges["old"]).toEqual(before);
    const egress = { local: { topic: "x/#" }, remote: { topic: "y" } };
    await api.call("PUT", "/bridges/mqtt:old", { body: { egress } });
    expect(api.store.stored().bridges["old"]).toMatchObject({
      forwards: [{ name: "old", local_topic: "x/#", remote_topic: "y" }],
      subscription: before?.subscription,
    });
  });

  it("stops until the next start, is disabled, and removed with its rules", async () => {
    await api.call("POST", "/bridges", { body: bridge() });
    await api.bridges.settled("old");
    expect((await api.call("POST", "/bridges/mqtt:old/stop")).status).toBe(204);
    expect((await api.call("GET", "/bridges/mqtt:old")).body).toMatchObject({
      enable: true,
      status: "disconnected",
    });
    expect((await api.call("POST", "/bridges/mqtt:old/restart")).status).toBe(204);
    expect((await api.call("POST", "/bridges/mqtt:old/jump")).status).toBe(400);
    expect((await api.call("POST", "/bridges_probe", { body: bridge() })).status).toBe(204);
    expect((await api.call("PUT", "/bridges/mqtt:old/enable/false")).status).toBe(204);
    expect(await api.call("POST", "/bridges/mqtt:old/start")).toMatchObject({
      status: 400,
      body: { message: "Forbidden operation, bridge not enabled" },
    });
    expect((await api.call("DELETE", "/bridges/mqtt:old")).status).toBe(204);
    expect((await api.call("GET", "/bridges/mqtt:old")).status).toBe(404);
    expect((await api.call("GET", "/bridges")).body).toHaveLength(1);
  });
});
