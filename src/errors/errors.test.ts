import { describe, expect, it } from "vitest";
import { CATALOGUE } from "./catalogue.ts";
import { GatewayError, isGatewayError, reasonOf } from "./gateway-error.ts";

describe("GatewayError", () => {
  it("makes its message of the catalogue row and the details", () => {
    const cause = new Error("boom");
    const err = new GatewayError(
      "LISTENER_BIND_FAILED",
      { listener: "tcp", bind: "::", tcpPort: 1883, reason: "address in use" },
      { cause },
    );
    expect(err.message).toBe("listener tcp cannot listen on :: port 1883: address in use");
    expect(err.cause).toBe(cause);
    expect(err.status).toBe(500);
    expect(isGatewayError(err, "LISTENER_BIND_FAILED")).toBe(true);
    expect(isGatewayError(err, "CLIENT_NOT_FOUND")).toBe(false);
    expect(isGatewayError(cause)).toBe(false);
  });

  it("shows values that are not text as JSON", () => {
    const { message } = new GatewayError("MQTT_QOS_INVALID", { value: [3, null] });
    expect(message).toBe("QoS [3,null] is not valid; expected 0, 1 or 2");
    expect(new GatewayError("MQTT_QOS_INVALID", { value: undefined }).message).toContain(
      "undefined",
    );
  });
});

describe("a value from outside", () => {
  it("is cut in the message, and may be nested as deep as it likes", () => {
    let deep: unknown = [];
    for (let i = 0; i < 100_000; i++) deep = [deep];
    expect(new GatewayError("MQTT_QOS_INVALID", { value: deep }).message).toContain("a list");
    const long = new GatewayError("MQTT_QOS_INVALID", { value: "x".repeat(1_000_000) });
    expect(long.message.length).toBeLessThan(1000);
  });
});

describe("the catalogue", () => {
  it.each(Object.entries(CATALOGUE))("%s has a message and an HTTP status", (code, row) => {
    expect(code).toMatch(/^[A-Z]+(_[A-Z\d]+)+$/);
    expect(row.message.length).toBeGreaterThan(10);
    expect([400, 401, 404, 409, 500, 503, 507]).toContain(row.status);
  });

  it("is in alphabetical order, so that a code is found and a double one seen", () => {
    const codes = Object.keys(CATALOGUE);
    expect(codes).toEqual([...codes].sort());
  });
});

describe("reasonOf", () => {
  it("reads anything thrown", () => {
    expect(reasonOf(new Error("disk full"))).toBe("disk full");
    expect(reasonOf("text")).toBe("text");
    expect(reasonOf(undefined)).toBe("undefined");
  });
});
