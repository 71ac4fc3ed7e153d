import { expect, test } from "vitest";
import { parseServerUrl } from "./server-url.ts";

test.each([
  ["mqtt://h:1", { transport: "tcp", host: "h", tcpPort: 1, path: "" }],
  ["mqtts://broker.example", { transport: "tls", host: "broker.example", tcpPort: 8883, path: "" }],
  ["mqtt-tcp://10.0.0.1:1883", { transport: "tcp", host: "10.0.0.1", tcpPort: 1883, path: "" }],
  ["tls+mqtt-tcp://h:8883", { transport: "tls", host: "h", tcpPort: 8883, path: "" }],
  ["ws://h", { transport: "ws", host: "h", tcpPort: 8083, path: "/mqtt" }],
  ["wss://[::1]:443/x/y", { transport: "wss", host: "::1", tcpPort: 443, path: "/x/y" }],
])("%s is understood", (url, parts) => {
  expect(parseServerUrl(url)).toEqual(parts);
});

test.each([
  "h:1883",
  "mqtt-quic://h:14567",
  "constructor://h",
  "mqtt://h:0",
  "mqtt://h:65536",
  "mqtt://h/path",
  "mqtt://user:secret@h",
  "mqtt://h h",
  "MQTT://h",
  "",
])("%j is refused", (url) => {
  expect(parseServerUrl(url)).toBeNull();
});
