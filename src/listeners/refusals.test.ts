import { expect, test } from "vitest";
import { createLog } from "../log/index.ts";
import { ManualClock } from "../time/index.ts";
import { Refusals } from "./refusals.ts";

function setUp() {
  const clock = new ManualClock();
  const lines: Record<string, unknown>[] = [];
  const log = createLog({ level: "info" }, { write: (line) => void lines.push(JSON.parse(line)) });
  return { clock, lines, refusals: new Refusals(log, clock) };
}

test("refusals are counted by listener and reason", () => {
  const { refusals } = setUp();
  refusals.count("tcp", "max_connections", { address: "192.0.2.1" });
  refusals.count("tcp", "max_connections", { address: "192.0.2.1" });
  refusals.count("ws", "http_request", { address: "192.0.2.1" });
  expect(refusals.of("tcp")).toEqual({ max_connections: 2 });
  expect(refusals.of("ws")).toEqual({ http_request: 1 });
  expect(refusals.of("tls")).toEqual({});
});

test("the first refusal is logged at once, a flood as one line of counts per 10 s", () => {
  const { clock, lines, refusals } = setUp();
  for (let i = 0; i < 60_000; i++) {
    refusals.count("tcp", "max_connects_per_address", { address: "192.0.2.1" });
    clock.advance(1);
  }
  expect(lines).toHaveLength(7);
  expect(lines[0]).toMatchObject({
    listener: "tcp",
    reason: "max_connects_per_address",
    address: "192.0.2.1",
  });
  expect(lines[1]).toMatchObject({ counts: { "tcp max_connects_per_address": 9999 } });
});

test("after a quiet interval the next refusal is a first one again", () => {
  const { clock, lines, refusals } = setUp();
  refusals.count("tcp", "max_connections", { address: "192.0.2.1" });
  clock.advance(25_000);
  refusals.count("tls", "tls_handshake", { address: "192.0.2.2", err: new Error("bad record") });
  expect(lines).toHaveLength(2);
  expect(lines[1]).toMatchObject({ listener: "tls", err: "bad record" });
});

test("stopping logs what is still uncounted and ends the timer", () => {
  const { clock, lines, refusals } = setUp();
  refusals.count("tcp", "max_connections", {});
  refusals.count("tcp", "max_connections", {});
  refusals.flush();
  expect(lines).toHaveLength(2);
  clock.advance(60_000);
  expect(lines).toHaveLength(2);
});
