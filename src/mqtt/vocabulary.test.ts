import { describe, expect, it } from "vitest";
import { clientId } from "./client-id.ts";
import { isQoS, qos } from "./qos.ts";

describe("clientId", () => {
  it.each(["sensor-1", "__proto__", "a/b", "x".repeat(65_535)])("accepts %.20j", (raw) => {
    expect(clientId(raw)).toBe(raw);
  });

  it.each(["", "a\0", "\udfff", "x".repeat(65_536)])("refuses %.20j [MQTT-3.1.3-4]", (raw) => {
    expect(() => clientId(raw)).toThrow(
      expect.objectContaining({ code: "MQTT_CLIENT_ID_INVALID" }),
    );
  });
});

describe("qos", () => {
  it("accepts 0, 1 and 2 and nothing else [MQTT-3.3.1-4]", () => {
    expect([0, 1, 2].map(qos)).toEqual([0, 1, 2]);
    for (const value of [3, -1, 1.5, "1", null, undefined, true]) {
      expect(isQoS(value)).toBe(false);
      expect(() => qos(value)).toThrow(expect.objectContaining({ code: "MQTT_QOS_INVALID" }));
    }
  });
});
